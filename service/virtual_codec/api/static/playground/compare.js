// The picture on the left: the original, the stream without restoring, or an ordinary file of the stream's size. Zoom and
// quality measures.
const ORDINARY = { jpeg: "JPEG", webp: "WebP", avif: "AVIF" };
const NAMES = { before: "original", stream: "stream, not restored", ...ORDINARY };

async function encodeOrdinary(format, signal) {
  const found = state.files[format];
  if (found) return found;
  const files = state.files, max_bytes = state.result.bytes;
  const answer = await post(`/playground/ordinary?${new URLSearchParams({ format, max_bytes })}`, state.file, signal)
    .catch(error => { if (error.code === "unreachable_target") return { least: error.actual }; throw error; });
  return files[format] = answer;
}
async function showOther(what, signal = state.run?.signal) {
  state.left = what;
  if (mode() === "restore") what = "before";
  $("note").textContent = "";
  try {
    if (what in ORDINARY) {
      $("note").textContent = `Encoding ${ORDINARY[what]} of the same size…`;
      const made = await encodeOrdinary(what, signal);
      showMeasures();
      if (state.left !== what) return;
      $("note").textContent = made.blob ? "" : `${ORDINARY[what]} needs at least ${size(made.least)} for this picture.`;
      if (!made.blob) return showOtherPicture("before");
      setUrl(what, made.blob);
    }
    showOtherPicture(what);
  } catch (error) { $("note").textContent = ""; showProblem(error); }
}
function showOtherPicture(what) {
  const before = $("before");
  before.onload = () => $("pair").classList.remove("lone");
  before.onerror = () => { before.hidden = true; $("pair").classList.add("lone"); };  // TIFF: few browsers show it
  before.hidden = false;
  before.src = state.urls[what];
  before.alt = what === "before" ? "The original image" : `The ${NAMES[what]}`;
  $("left").textContent = mode() === "restore" ? "the JPEG" : NAMES[what];
}
function showMeasures() {
  if (!state.result) return;
  const pixels = state.result.headers.get("Vcodec-Size").split("x").reduce((width, height) => width * height);
  const row = (name, bytes, headers) => element("tr", [
    element("th", name, { scope: "row" }), element("td", size(bytes)), element("td", (8 * bytes / pixels).toFixed(3)),
    element("td", headers?.get("Vcodec-Psnr") ? `${(+headers.get("Vcodec-Psnr")).toFixed(2)} dB` : "–"),
    element("td", headers?.get("Vcodec-Ms-Ssim") ? (+headers.get("Vcodec-Ms-Ssim")).toFixed(4) : "–"),
  ]);
  $("rows").replaceChildren(
    row("restored", state.result.bytes, state.result.headers),
    ...Object.entries(ORDINARY).filter(([format]) => state.files[format]).map(([format, name]) => {
      const file = state.files[format];
      return file.blob ? row(name, file.blob.size, file.headers) : row(`${name}: no smaller than`, file.least, null);
    }));
}
function applyZoom() {  // both pictures lie in one place and scroll together
  const times = +chosen("zoom"), view = $("view"), pair = $("pair");
  const [x, y] = [(view.scrollLeft + view.clientWidth / 2) / view.scrollWidth, (view.scrollTop + view.clientHeight / 2) / view.scrollHeight];
  pair.classList.toggle("real", times > 0);
  pair.style.setProperty("--wide", `${$("after").naturalWidth * times / devicePixelRatio}px`);
  view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
  view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
}
function moveDivider(at) { $("pair").style.setProperty("--at", `${$("at").value = Math.min(100, Math.max(0, at))}%`); }
