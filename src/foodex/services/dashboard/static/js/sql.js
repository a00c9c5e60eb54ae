// The SQL page: questions sent with Ctrl+Enter and kept here, answers as a chart and as CSV.
import { texts } from "./app.js";
import { drawCharts } from "./charts.js";

const MOST_KEPT = 20;
const MOST_PLACES = 2000;
const form = document.getElementById("sql-form");
const editor = document.getElementById("sql");
const recent = document.getElementById("recent");
const place = `foodex.sql.${form.dataset.person}`;

function kept() {
  try { return JSON.parse(localStorage.getItem(place)) ?? []; } catch { return []; }
}
function showKept() {
  const questions = kept();
  recent.hidden = questions.length === 0;
  recent.replaceChildren(recent.options[0], ...questions.map((sql, n) => new Option(sql.replace(/\s+/g, " ").slice(0, 80), n)));
}
function keep(sql) {
  try { localStorage.setItem(place, JSON.stringify([sql, ...kept().filter((one) => one !== sql)].slice(0, MOST_KEPT))); } catch { /* A browser that keeps nothing. */ }
  showKept();
}
recent.addEventListener("change", () => {
  const sql = kept()[recent.value];
  if (sql) editor.value = sql;
  recent.selectedIndex = 0;
  editor.focus();
});
form.addEventListener("submit", () => editor.value.trim() && keep(editor.value.trim()));
editor.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

const options = {
  bar: (x, y, name) => ({ legend: { show: false }, xAxis: { type: "category", data: x }, yAxis: { type: "value" }, tooltip: { trigger: "axis" }, series: [{ type: "bar", name, data: y, barMaxWidth: 28 }] }),
  line: (x, y, name) => ({ legend: { show: false }, xAxis: { type: "category", data: x, boundaryGap: false }, yAxis: { type: "value", scale: true }, tooltip: { trigger: "axis" }, series: [{ type: "line", name, data: y, showSymbol: x.length < 60 }] }),
  scatter: (x, y, name) => ({ legend: { show: false }, foodex: { both: true }, xAxis: { type: "value", scale: true }, yAxis: { type: "value", scale: true }, tooltip: { trigger: "item" }, series: [{ type: "scatter", name, data: x.map((one, n) => [one, y[n]]), symbolSize: 6 }] }),
};

function isNumber(answer, column) {
  return ["number", "integer"].includes(answer.columns[column].kind) || answer.rows.every((row) => row[column] === null || typeof row[column] === "number");
}

function draw(section, answer) {
  const [x, y] = ["x", "y"].map((axis) => Number(section.querySelector(`[data-axis=${axis}]`).value));
  const kind = section.querySelector("[data-kind]").value;
  const fits = isNumber(answer, y) && (kind !== "scatter" || isNumber(answer, x));
  section.querySelector("[data-no-numbers]").hidden = fits;
  const holder = section.querySelector("[data-place]");
  holder.replaceChildren();
  if (!fits) return;
  const rows = answer.rows.slice(0, MOST_PLACES);
  const figure = document.createElement("figure");
  figure.className = "chart";
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `${answer.columns[y].name} / ${answer.columns[x].name}`);
  const source = document.createElement("script");
  source.type = "application/json";
  source.textContent = JSON.stringify(options[kind](rows.map((row) => row[x]), rows.map((row) => row[y]), answer.columns[y].name));
  figure.append(source);
  figure.dataset.chart = "";
  holder.append(figure);
  drawCharts(holder, texts);
}

function cell(value) {
  if (value === null || value === undefined) return "";
  let text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // A spreadsheet must not take a text for a formula.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(answer) {
  const lines = [answer.columns.map((one) => one.name), ...answer.rows].map((row) => row.map(cell).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  link.download = "answer.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function dress(section) {
  if (section.dataset.ready) return;
  section.dataset.ready = "yes";
  const answer = JSON.parse(section.querySelector("[data-answer]").textContent);
  const numeric = answer.columns.findIndex((_, n) => n > 0 && isNumber(answer, n));
  section.querySelector("[data-axis=y]").value = String(Math.max(numeric, 0));
  for (const select of section.querySelectorAll("[data-axis], [data-kind]")) select.addEventListener("change", () => draw(section, answer));
  section.querySelector("[data-csv]").addEventListener("click", () => download(answer));
  for (const button of section.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      for (const other of section.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
      for (const part of section.querySelectorAll("[data-part]")) part.hidden = part.dataset.part !== button.dataset.view;
      if (button.dataset.view === "chart") draw(section, answer);
    });
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-insert], [data-example]");
  if (!target) return;
  if (target.dataset.example) {
    editor.value = `SELECT toHour(placed_at, '${target.dataset.zone}') AS hour, count() AS orders, round(avg(delivery_minutes), 1) AS minutes\nFROM ${target.dataset.example}\nGROUP BY hour ORDER BY hour`;
    form.requestSubmit();
    return;
  }
  editor.setRangeText(target.dataset.insert, editor.selectionStart, editor.selectionEnd, "end");
  editor.focus();
});
const look = () => { for (const section of document.querySelectorAll("[data-result]")) dress(section); };
document.addEventListener("htmx:afterSettle", look);
look();
showKept();
