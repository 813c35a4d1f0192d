"use strict";
// Page state, and functions for elements, units, addresses of pictures, requests and problems.
const $ = id => document.getElementById(id);
const state = { file: null, shown: null, run: null, urls: {}, timer: 0, left: "before", result: null, files: {} };
const chosen = name => document.querySelector(`[name=${name}]:checked`).value;
const mode = () => chosen("mode");
const size = bytes => bytes < 1e4 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`;
const time = ms => ms < 1e3 ? `${ms.toFixed(0)} ms` : `${(ms / 1e3).toFixed(1)} s`;

function element(name, content = [], more = {}) {
  const made = Object.assign(document.createElement(name), more);
  made.append(...[content].flat());
  return made;
}
function setUrl(name, blob) {  // make an address for a blob, and free the previous one of that name
  if (state.urls[name]) URL.revokeObjectURL(state.urls[name]);
  return state.urls[name] = blob ? URL.createObjectURL(blob) : "";
}
function keyHeaders() {
  return $("key").value ? { "X-API-Key": $("key").value } : {};
}
async function problemOf(response) {  // error with the problem document of a response
  const problem = await response.json().catch(() => ({ title: `Status ${response.status}`, detail: "" }));
  if (response.status === 401) { $("key").hidden = false; $("key").focus(); }
  const detail = response.status === 401 ? "type it into the field above" : problem.detail;
  return Object.assign(new Error(detail), { title: problem.title, page: problem.type, code: problem.code, actual: problem.actual });
}
async function post(path, body, signal) {
  const headers = { "Content-Type": body.type || "application/octet-stream", ...keyHeaders() };
  if (headers["Content-Type"] === "application/x-www-form-urlencoded") headers["Content-Type"] = "application/octet-stream";
  const started = performance.now();
  const response = await fetch(path, { method: "POST", body, headers, signal });
  if (!response.ok) throw await problemOf(response);
  return { blob: await response.blob(), headers: response.headers, ms: performance.now() - started };
}
function showProblem(error) {
  if (error.name === "AbortError") return;
  const bold = element("b", error.title || "No answer"), link = element("a", "What to do", { href: error.page || "" });
  $("wrong").replaceChildren(bold, ` ${error.message} `, error.page ? link : "");
  $("wrong").hidden = false;
}
function showFacts(rows) {
  $("list").replaceChildren(...rows.filter(row => row[1]).map(([name, value, big]) =>
    element("div", [element("dt", name), element("dd", value, { className: big ? "big" : "" })])));
  $("facts").hidden = false;
}
function showEmptyStage(word) {  // hide the result of the last picture
  $("ask").textContent = word || "Drop a picture here"; $("how").hidden = !!word;
  $("drop").hidden = false;
  for (const id of ["view", "facts", "sides", "measures", "rates"]) $(id).hidden = true;
  state.shown = state.result = null;
}
