// What keys, clicks, drops and sliders do.
function take(file) {
  if (!file) return;
  state.file = file;
  run();
}
function soon() { label(); clearTimeout(state.timer); state.timer = setTimeout(run, 250); }
async function sample() {
  const response = await fetch("/playground/sample");
  take(new File([await response.blob()], "cat.webp", { type: "image/webp" }));
}
function step(by) {
  const radios = [...document.getElementsByName("zoom")], now = radios.findIndex(radio => radio.checked);
  radios[Math.min(radios.length - 1, Math.max(0, now + by))].checked = true;
  zoom();
}

$("value").oninput = $("effort").oninput = soon;
$("target").onchange = () => { retarget(); run(); };
$("codec").onchange = $("here").onchange = run;
$("key").onchange = () => { codecs(); run(); };
for (const radio of document.getElementsByName("mode")) radio.onchange = () => {
  $("options").hidden = mode() === "restore"; run();
};
for (const radio of document.getElementsByName("other")) radio.onchange = () => compare(radio.value);
for (const radio of document.getElementsByName("zoom")) radio.onchange = zoom;
$("view").onkeydown = event => {
  if (event.key === "+" || event.key === "=") step(1);
  if (event.key === "-") step(-1);
};
$("open").onclick = $("drop").onclick = () => $("file").click();
$("sample").onclick = () => sample().catch(complain);
$("drop").onkeydown = event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); $("file").click(); } };
$("file").onchange = () => { take($("file").files[0]); $("file").value = ""; };
$("plot").onclick = sweep;
$("cancel").onclick = stopPlot;
$("measure").onchange = draw;
document.onpaste = event => take([...event.clipboardData.files][0]);
document.ondragover = event => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = () => document.body.classList.remove("over");
document.ondrop = event => { event.preventDefault(); document.body.classList.remove("over"); take(event.dataTransfer.files[0]); };
$("pair").onpointermove = $("pair").onpointerdown = event => {
  const box = $("pair").getBoundingClientRect();
  divide(100 * (event.clientX - box.left) / box.width);
};
$("at").oninput = () => divide($("at").value);
codecs().catch(() => {});              // without an answer the list stays as it is
