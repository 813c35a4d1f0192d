// Event handlers of keys, clicks, drops and sliders.
function openFile(file) {
  if (!file) return;
  state.file = file;
  run();
}
function runSoon() { updateLabels(); clearTimeout(state.timer); state.timer = setTimeout(run, 250); }
async function openSample() {
  const response = await fetch("/playground/sample");
  openFile(new File([await response.blob()], "cat.webp", { type: "image/webp" }));
}
function stepZoom(by) {
  const radios = [...document.getElementsByName("zoom")], now = radios.findIndex(radio => radio.checked);
  radios[Math.min(radios.length - 1, Math.max(0, now + by))].checked = true;
  applyZoom();
}

$("value").oninput = $("effort").oninput = runSoon;
$("target").onchange = () => { updateSlider(); run(); };
$("codec").onchange = $("here").onchange = run;
$("key").onchange = () => { listCodecs(); run(); };
for (const radio of document.getElementsByName("mode")) radio.onchange = () => {
  $("options").hidden = mode() === "restore"; run();
};
for (const radio of document.getElementsByName("other")) radio.onchange = () => showOther(radio.value);
for (const radio of document.getElementsByName("zoom")) radio.onchange = applyZoom;
$("view").onkeydown = event => {
  if (event.key === "+" || event.key === "=") stepZoom(1);
  if (event.key === "-") stepZoom(-1);
};
$("open").onclick = $("drop").onclick = () => $("file").click();
$("sample").onclick = () => openSample().catch(showProblem);
$("drop").onkeydown = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); $("file").click(); } };
$("file").onchange = () => { openFile($("file").files[0]); $("file").value = ""; };
$("plot").onclick = plotCurves;
$("cancel").onclick = stopPlot;
$("measure").onchange = drawPlot;
document.onpaste = event => openFile([...event.clipboardData.files][0]);
document.ondragover = event => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = event => { event.preventDefault(); document.body.classList.remove("over"); openFile(event.dataTransfer.files[0]); };
$("pair").onpointermove = $("pair").onpointerdown = event => {
  const box = $("pair").getBoundingClientRect();
  moveDivider(100 * (event.clientX - box.left) / box.width);
};
$("at").oninput = () => moveDivider($("at").value);
listCodecs().catch(() => {});  // without an answer the list stays as it is
