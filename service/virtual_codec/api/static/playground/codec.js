// Compressing and restoring the picture: options, the run, its facts.
const TARGETS = {                      // name -> least, most, step and first value of its slider; value -> option, text
  quality: { range: [1, 100, 1, 50], option: v => v, text: v => v },
  max_bytes: { range: [10, 70, 1, 41], option: v => Math.round(10 ** (v / 10)), text: v => size(Math.round(10 ** (v / 10))) },
  max_bpp: { range: [5, 200, 1, 30], option: v => v / 100, text: v => (v / 100).toFixed(2) },
  min_psnr: { range: [20, 50, 0.5, 32], option: v => v, text: v => `${v} dB` },
  min_ms_ssim: { range: [80, 99.9, 0.1, 97], option: v => v / 100, text: v => (v / 100).toFixed(3) },
};

function retarget() {
  const [min, max, step, value] = TARGETS[$("target").value].range;
  Object.assign($("value"), { min, max, step, value });
  label();
}
function label() {
  const text = TARGETS[$("target").value].text(+$("value").value);
  $("shown").value = text; $("spent").value = $("effort").value;
  $("value").setAttribute("aria-valuetext", `${$("target").selectedOptions[0].text} ${text}`);
}
function query(more = {}) {
  const target = $("target").value;
  return new URLSearchParams({
    [target]: TARGETS[target].option(+$("value").value), effort: $("effort").value, codec: $("codec").value, measure: "true", ...more,
  });
}
async function codecs() {              // what the default model works with
  const response = await fetch("/models", { headers: keyHeaders() });
  if (!response.ok) return;
  const model = (await response.json()).find(each => each.default);
  if (!model) return;
  const had = $("codec").value;
  $("codec").replaceChildren(...model.codecs.map(name => element("option", name)));
  if (model.codecs.includes(had)) $("codec").value = had;
}
async function here(stream, signal) {   // restored by this browser: the picture as a PNG, and how long it took
  const { restore } = await import("/web/restore.js");
  const started = performance.now(), picture = await restore(stream, { signal }), ms = performance.now() - started;
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return { blob: await canvas.convertToBlob(), ms };
}
async function run() {
  if (!state.file) return;
  state.run?.abort(); stopPlot();
  const run = state.run = new AbortController(), file = state.file, compressing = mode() === "compress";
  $("stage").classList.add("busy"); $("stage").setAttribute("aria-busy", "true"); $("wrong").hidden = true;
  if (state.shown !== file) stand(`Working on ${file.name || "the picture"}…`);
  try {
    const made = compressing ? await post(`/compress?${query()}`, file, run.signal) : null;
    const stream = made ? made.blob : file;
    const back = await post("/decompress", stream, run.signal);
    const own = $("here").checked ? await here(stream, run.signal) : null;
    await present(file, made, back, own);
  } catch (error) {
    complain(error);
    if (error.name !== "AbortError" && state.shown !== file) stand();
  } finally {
    if (state.run === run) { $("stage").classList.remove("busy"); $("stage").removeAttribute("aria-busy"); }
  }
  if (!run.signal.aborted && state.shown === file) await compare(state.left, run.signal);
}
async function present(file, made, back, own) {
  const stem = file.name.replace(/\.[^.]*$/, "") || "picture", stream = made ? made.blob : file, head = (made || back).headers;
  $("after").src = show("after", (own || back).blob);
  await $("after").decode().catch(() => {});
  if (state.shown !== file) { show("before", state.shown = file); forgetPlot(); }
  state.files = {};                    // ordinary files are of one stream's size
  state.result = made && { bytes: stream.size, headers: head };
  $("drop").hidden = true; $("view").hidden = false; $("sides").hidden = false;
  $("others").hidden = $("measures").hidden = $("rates").hidden = $("stream").hidden = !made;
  if (made) { $("stream").href = show("stream", stream); $("stream").download = `${stem}.vc.${stream.type.replace(/.*[/]/, "").replace("jpeg", "jpg")}`; }
  $("image").href = state.urls.after; $("image").download = `${stem}.restored.png`;
  zoom();
  measures();
  facts([
    ["was", size(file.size)],
    [made ? "stream" : "", made && size(stream.size), true],
    ["smaller", made && `${(file.size / stream.size).toFixed(1)} ×`],
    ["bits per pixel", (+head.get("Vcodec-Bpp")).toFixed(3)],
    ["PSNR", head.get("Vcodec-Psnr") && `${(+head.get("Vcodec-Psnr")).toFixed(2)} dB`],
    ["MS-SSIM", head.get("Vcodec-Ms-Ssim") && (+head.get("Vcodec-Ms-Ssim")).toFixed(4)],
    ["pixels", head.get("Vcodec-Size").replace("x", " × ")],
    ["scale", `1 / ${head.get("Vcodec-Scale")}`],
    ["compressed in", made && time(made.ms)],
    [own ? "restored by the server in" : "restored in", time(back.ms)],
    ["in this browser in", own && time(own.ms)],
    ["model", head.get("Vcodec-Model")],
  ]);
}
