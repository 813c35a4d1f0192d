// Rate-distortion plot. The requests are sent one after another, with a progress bar and a button that cancels them.
const SWEEPS = {  // curve -> qualities
  restored: [8, 18, 32, 50, 70, 85], jpeg: [8, 20, 38, 58, 76, 88], webp: [1, 15, 38, 62, 82, 90], avif: [12, 28, 42, 56, 68, 78],
};
const AXES = { psnr: { header: "Vcodec-Psnr", name: "PSNR in dB" }, similarity: { header: "Vcodec-Ms-Ssim", name: "MS-SSIM" } };
const svg = (name, attributes, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};
const plot = { run: null, points: {} };

async function plotCurves() {
  clearPlot();
  const run = plot.run = new AbortController(), file = state.file;
  const jobs = Object.values(SWEEPS)[0].flatMap((_, index) => Object.entries(SWEEPS).map(([curve, qualities]) => [curve, qualities[index]]));
  $("wrong").hidden = true; $("cancel").hidden = $("done").hidden = false; $("plot").disabled = true; $("done").max = jobs.length;
  try {
    for (const [index, [curve, quality]] of jobs.entries()) {
      $("done").value = index;
      const options = { quality, ...(curve === "restored" ? { effort: $("effort").value, codec: $("codec").value, measure: "true" } : { format: curve }) };
      const path = curve === "restored" ? "/compress" : "/playground/ordinary";
      const { headers } = await post(`${path}?${new URLSearchParams(options)}`, file, run.signal);
      (plot.points[curve] ??= []).push(headers);
      drawPlot();
    }
  } catch (error) { showProblem(error); } finally { if (plot.run === run) stopPlot(); }
}
function stopPlot() {
  plot.run?.abort(); plot.run = null;
  $("cancel").hidden = $("done").hidden = true; $("plot").disabled = false;
}
function clearPlot() {
  stopPlot(); plot.points = {}; $("figure").hidden = $("axis").hidden = true;
}
function drawPlot() {
  const axis = AXES[$("measure").value], [left, right, top, bottom] = [84, 704, 30, 296];
  const curves = Object.entries(plot.points).map(([curve, points]) => [curve, points
    .map(headers => ({ x: +headers.get("Vcodec-Bpp"), y: +headers.get(axis.header), q: headers.get("Vcodec-Quality") }))
    .filter(point => point.x > 0 && point.y > 0).sort((one, other) => one.x - other.x)]).filter(([, points]) => points.length);
  const all = curves.flatMap(([, points]) => points), chart = $("chart");
  $("figure").hidden = $("axis").hidden = false;
  if (!all.length) return chart.replaceChildren(svg("text", { x: 64, y: 100 }, "MS-SSIM needs sides of 161 pixels or more."));
  const span = values => { const [low, high] = [Math.min(...values), Math.max(...values)]; return low < high ? [low, high] : [low * 0.99, high * 1.01 || 1]; };
  const [low, high] = span(all.map(point => Math.log(point.x))), [least, most] = span(all.map(point => point.y));
  const x = value => left + (right - left) * (Math.log(value) - low) / (high - low), y = value => bottom - (bottom - top) * (value - least) / (most - least);
  const ticks = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].filter(value => Math.log(value) >= low && Math.log(value) <= high);
  const levels = [0, 1, 2, 3, 4].map(step => least + step * (most - least) / 4);
  chart.replaceChildren(
    ...ticks.flatMap(value => [svg("line", { class: "grid", x1: x(value), x2: x(value), y1: top, y2: bottom }), svg("text", { x: x(value), y: bottom + 24, "text-anchor": "middle" }, value)]),
    ...levels.flatMap(value => [svg("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }), svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed($("measure").value === "psnr" ? 1 : 3))]),
    svg("text", { x: (left + right) / 2, y: bottom + 52, "text-anchor": "middle" }, "bits per pixel"),
    svg("text", { x: left, y: top - 10 }, axis.name),
    ...curves.flatMap(([curve, points]) => [
      svg("polyline", { class: curve, points: points.map(point => `${x(point.x)},${y(point.y)}`).join(" ") }),
      ...points.map(point => svg("circle", { class: curve, cx: x(point.x), cy: y(point.y), r: 3.5 }))]));
  const name = curve => ORDINARY[curve] || curve;
  chart.setAttribute("aria-label", `${axis.name} over bits per pixel. ` + curves.map(([curve, points]) =>
    `${name(curve)}: ${points.map(point => `${point.y.toFixed(3)} at ${point.x.toFixed(3)}`).join(", ")}`).join(". "));
  $("legend").replaceChildren(...curves.map(([curve]) => element("span", name(curve), { className: curve })));
}
