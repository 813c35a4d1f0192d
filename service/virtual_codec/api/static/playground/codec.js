// Compressing and restoring the picture: options, requests, and the result with its figures.
const TARGETS = {  // name -> least, most, step and first value of its slider; value -> option, text
  quality: { range: [1, 100, 1, 50], option: v => v, text: v => v },
  max_bytes: { range: [10, 70, 1, 41], option: v => Math.round(10 ** (v / 10)), text: v => size(Math.round(10 ** (v / 10))) },
  max_bpp: { range: [5, 200, 1, 30], option: v => v / 100, text: v => (v / 100).toFixed(2) },
  min_psnr: { range: [20, 50, 0.5, 32], option: v => v, text: v => `${v} dB` },
  min_ms_ssim: { range: [80, 99.9, 0.1, 97], option: v => v / 100, text: v => (v / 100).toFixed(3) },
};

function updateSlider() {
  const [min, max, step, value] = TARGETS[$("target").value].range;
  Object.assign($("value"), { min, max, step, value });
  updateLabels();
}
function updateLabels() {
  const text = TARGETS[$("target").value].text(+$("value").value);
  $("shown").value = text; $("spent").value = $("effort").value;
  $("value").setAttribute("aria-valuetext", `${$("target").selectedOptions[0].text} ${text}`);
}
function compressQuery(more = {}) {
  const target = $("target").value;
  return new URLSearchParams({
    [target]: TARGETS[target].option(+$("value").value), effort: $("effort").value, codec: $("codec").value, measure: "true", ...more,
  });
}
async function listCodecs() {  // fill the list with the codecs of the default model
  const response = await fetch("/models", { headers: keyHeaders() });
  if (!response.ok) return;
  const model = (await response.json()).find(each => each.default);
  if (!model) return;
  const selected = $("codec").value;
  $("codec").replaceChildren(...model.codecs.map(name => element("option", name)));
  if (model.codecs.includes(selected)) $("codec").value = selected;
}
async function restoreInBrowser(stream, signal) {  // the picture restored by this browser as a PNG, and the time in ms
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
  if (state.shown !== file) showEmptyStage(`Working on ${file.name || "the picture"}…`);
  try {
    const compressed = compressing ? await post(`/compress?${compressQuery()}`, file, run.signal) : null;
    const stream = compressed ? compressed.blob : file;
    const restored = await post("/decompress", stream, run.signal);
    const local = $("here").checked ? await restoreInBrowser(stream, run.signal) : null;
    await showResult(file, compressed, restored, local);
  } catch (error) {
    showProblem(error);
    if (error.name !== "AbortError" && state.shown !== file) showEmptyStage();
  } finally {
    if (state.run === run) { $("stage").classList.remove("busy"); $("stage").removeAttribute("aria-busy"); }
  }
  if (!run.signal.aborted && state.shown === file) await showOther(state.left, run.signal);
}
async function showResult(file, compressed, restored, local) {
  const stem = file.name.replace(/\.[^.]*$/, "") || "picture", stream = compressed ? compressed.blob : file, headers = (compressed || restored).headers;
  $("after").src = setUrl("after", (local || restored).blob);
  await $("after").decode().catch(() => {});
  if (state.shown !== file) { setUrl("before", state.shown = file); clearPlot(); }
  state.files = {};  // ordinary files have the size of one stream
  state.result = compressed && { bytes: stream.size, headers };
  $("drop").hidden = true; $("view").hidden = false; $("sides").hidden = false;
  $("others").hidden = $("measures").hidden = $("rates").hidden = $("stream").hidden = !compressed;
  if (compressed) { $("stream").href = setUrl("stream", stream); $("stream").download = `${stem}.vc.${stream.type.replace(/.*[/]/, "").replace("jpeg", "jpg")}`; }
  $("image").href = state.urls.after; $("image").download = `${stem}.restored.png`;
  applyZoom();
  showMeasures();
  showFacts([
    ["was", size(file.size)],
    [compressed ? "stream" : "", compressed && size(stream.size), true],
    ["smaller", compressed && `${(file.size / stream.size).toFixed(1)} ×`],
    ["bits per pixel", (+headers.get("Vcodec-Bpp")).toFixed(3)],
    ["PSNR", headers.get("Vcodec-Psnr") && `${(+headers.get("Vcodec-Psnr")).toFixed(2)} dB`],
    ["MS-SSIM", headers.get("Vcodec-Ms-Ssim") && (+headers.get("Vcodec-Ms-Ssim")).toFixed(4)],
    ["pixels", headers.get("Vcodec-Size").replace("x", " × ")],
    ["scale", `1 / ${headers.get("Vcodec-Scale")}`],
    ["compressed in", compressed && time(compressed.ms)],
    [local ? "restored by the server in" : "restored in", time(restored.ms)],
    ["in this browser in", local && time(local.ms)],
    ["model", headers.get("Vcodec-Model")],
  ]);
}
