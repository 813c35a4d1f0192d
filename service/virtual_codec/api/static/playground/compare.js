// The left side: the original, the stream as others see it, or an ordinary file of the stream's size; zoom; measures.
const ORDINARY = { jpeg: "JPEG", webp: "WebP", avif: "AVIF" };
const NAMES = { before: "original", stream: "stream, not restored", ...ORDINARY };

async function ordinary(format, signal) {
  const found = state.files[format];
  if (found) return found;
  const asked = state.files, max_bytes = state.result.bytes;
  const answer = await post(`/playground/ordinary?${new URLSearchParams({ format, max_bytes })}`, state.file, signal)
    .catch(error => { if (error.code === "unreachable_target") return { least: error.actual }; throw error; });
  return asked[format] = answer;
}
async function compare(what, signal = state.run?.signal) {
  state.left = what;
  if (mode() === "restore") what = "before";
  $("note").textContent = "";
  try {
    if (what in ORDINARY) {
      $("note").textContent = `Encoding ${ORDINARY[what]} of the same size…`;
      const made = await ordinary(what, signal);
      measures();
      if (state.left !== what) return;
      $("note").textContent = made.blob ? "" : `${ORDINARY[what]} needs at least ${size(made.least)} for this picture.`;
      if (!made.blob) return put("before");
      show(what, made.blob);
    }
    put(what);
  } catch (error) { $("note").textContent = ""; complain(error); }
}
function put(what) {
  const before = $("before");
  before.onload = () => $("pair").classList.remove("lone");
  before.onerror = () => { before.hidden = true; $("pair").classList.add("lone"); };  // TIFF: few browsers show it
  before.hidden = false;
  before.src = state.urls[what];
  before.alt = what === "before" ? "The image as it was" : `The ${NAMES[what]}`;
  $("left").textContent = mode() === "restore" ? "the JPEG" : NAMES[what];
}
function measures() {
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
function zoom() {                      // both pictures lie on one another and scroll as one
  const times = +chosen("zoom"), view = $("view"), pair = $("pair");
  const [x, y] = [(view.scrollLeft + view.clientWidth / 2) / view.scrollWidth, (view.scrollTop + view.clientHeight / 2) / view.scrollHeight];
  pair.classList.toggle("real", times > 0);
  pair.style.setProperty("--wide", `${$("after").naturalWidth * times / devicePixelRatio}px`);
  view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
  view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
}
function divide(at) { $("pair").style.setProperty("--at", `${$("at").value = Math.min(100, Math.max(0, at))}%`); }
