// What every page does: times in the viewer's zone, charts, confirmations, uploads, lost connections.
import { drawCharts } from "./charts.js";

export const texts = JSON.parse(document.getElementById("texts").textContent);
const language = texts.language;

// The answer to a form stands under the form's own address, which cannot be asked for: it takes the
// address of the page that the form was on, so loading it again or changing the language leads there.
const { here } = document.body.dataset;
if (here) {
  history.replaceState(history.state, "", here);
  document.querySelector("main [role=alert]")?.scrollIntoView({ block: "center" });
}

const styles = {
  datetime: { dateStyle: "medium", timeStyle: "short" },
  date: { dateStyle: "medium" },
  time: { timeStyle: "short" },
  day: { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
};

function ago(moment) {
  const seconds = (moment - Date.now()) / 1000;
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit);
  }
  return texts.now;
}

function writeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    const style = element.dataset.style;
    const whole = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
    element.title = whole.format(moment);
    element.textContent = style === "ago"
      ? ago(moment)
      : new Intl.DateTimeFormat(language, styles[style] ?? styles.datetime).format(moment);
  }
}

export function say(text, kind = "bad") {
  const box = document.createElement("div");
  box.className = `message ${kind}`;
  const inner = document.createElement("div");
  inner.textContent = text;
  box.append(inner);
  document.getElementById("messages").append(box);
  onlyOnce();
  setTimeout(() => box.remove(), 8000);
}

// What is asked again and again may fail again and again: it is told once at a time.
function onlyOnce() {
  const seen = new Set();
  for (const box of [...document.querySelectorAll("#messages .message")].reverse()) {
    const text = box.textContent.trim();
    if (seen.has(text)) box.remove();
    seen.add(text);
  }
}

// `{name}` in a question stands for what the form's field of that name says.
function asked(form) {
  return form.dataset.confirm.replace(/\{(\w+)\}/g, (whole, name) => {
    const field = form.elements[name];
    return field?.selectedOptions?.[0]?.text ?? field?.value ?? whole;
  });
}

function confirmed(text) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("#confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// A form with data-confirm asks first; one with data-once is sent once however often it is clicked.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method === "dialog") return;
  if (form.dataset.sent) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  if (form.dataset.confirm && !form.dataset.agreed) {
    event.preventDefault();
    event.stopImmediatePropagation();
    const button = event.submitter;
    if (await confirmed(asked(form))) {
      form.dataset.agreed = "yes";
      form.requestSubmit(button);
    }
    return;
  }
  delete form.dataset.agreed;
  if ("once" in form.dataset) {
    form.dataset.sent = "yes";
    // Disabled only after the browser has read the form, or the button's own value would be lost.
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.setAttribute("aria-busy", "true");
    });
  }
}, true);

function allowAgain(root) {
  for (const form of root.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-busy");
  }
}
// The back button may bring a page back as it was left.
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  allowAgain(document);
  location.reload();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

function openMenu(open) {
  const button = document.querySelector("[data-menu]");
  if (!button || open === (button.getAttribute("aria-expanded") === "true")) return;
  document.getElementById("menu").classList.toggle("open", open);
  button.setAttribute("aria-expanded", String(open));
  if (!open) button.focus();
}

document.addEventListener("click", async (event) => {
  const target = event.target.closest("[data-close], [data-menu], [data-copy]");
  if (!target) return;
  if ("close" in target.dataset) target.closest(".message").remove();
  if ("menu" in target.dataset) {
    openMenu(!document.getElementById("menu").classList.contains("open"));
  }
  if (target.dataset.copy !== undefined) {
    await navigator.clipboard.writeText(target.dataset.copy);
    say(texts.copied, "good");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") openMenu(false);
});

// A file is sent as it is, with its progress shown; the answer says where to go on.
//   <label class="drop" data-upload="/where?name="><input type="file">…<progress hidden></progress></label>
function upload(drop, file) {
  const bar = drop.querySelector("[data-bar]");
  const request = new XMLHttpRequest();
  request.open("POST", drop.dataset.upload + encodeURIComponent(file.name));
  request.setRequestHeader("content-type", "application/octet-stream");
  request.setRequestHeader("hx-request", "true");
  request.upload.onprogress = (event) => {
    const share = event.lengthComputable ? event.loaded / event.total : 0;
    if (bar) bar.textContent = `${texts.uploading} ${Math.round(share * 100)} %`;
  };
  request.onerror = () => { drop.removeAttribute("aria-busy"); say(texts.failed); };
  request.onload = () => {
    drop.removeAttribute("aria-busy");
    const next = request.getResponseHeader("hx-redirect");
    if (next) { location.assign(next); return; }
    if (bar) bar.textContent = "";
    const where = request.status >= 400 ? "#messages" : drop.dataset.into;
    const place = document.querySelector(where);
    place.insertAdjacentHTML("beforeend", request.responseText);
    htmx.process(place);
    prepare(place);
  };
  drop.setAttribute("aria-busy", "true");
  request.send(file);
}

function prepareDrops(root) {
  for (const drop of root.querySelectorAll("[data-upload]")) {
    if (drop.dataset.ready) continue;
    drop.dataset.ready = "yes";
    const input = drop.querySelector("input[type=file]");
    input.addEventListener("change", () => input.files[0] && upload(drop, input.files[0]));
    drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files[0]) upload(drop, event.dataTransfer.files[0]);
    });
  }
}

// A lost connection is said, and asked after until it is back; then parts of the page that listen
// for "foodex:back" are asked for anew. The same question tells who is signed in by now: in another
// tab somebody may have signed out, or as somebody else.
const offline = document.querySelector("[data-offline]");
const viewer = document.body.dataset.viewer;
const RETRY_MS = 2000;
let retry;

async function look() {
  clearTimeout(retry);
  retry = undefined;
  try {
    const where = location.pathname + location.search;
    const headers = { "hx-request": "true", "hx-current-url": location.origin + where };
    const answer = await fetch("/session", { headers, cache: "no-store" });
    if (answer.status >= 500) throw new Error(answer.statusText);
    if (viewer) {
      const next = answer.headers.get("hx-redirect");
      if (next) { location.assign(next); return; }
      if (answer.headers.get("foodex-viewer") !== viewer) { location.reload(); return; }
    }
    if (!offline.hidden) {
      offline.hidden = true;
      htmx.trigger(document.body, "foodex:back");
    }
  } catch {
    offline.hidden = false;
    retry = setTimeout(look, RETRY_MS);
  }
}
const lookSoon = () => { retry ??= setTimeout(look); };
addEventListener("offline", () => { offline.hidden = false; lookSoon(); });
addEventListener("online", lookSoon);
document.addEventListener("htmx:sendError", lookSoon);
document.addEventListener("htmx:sseError", lookSoon);
document.addEventListener("visibilitychange", () => { if (!document.hidden) lookSoon(); });
// What stands between may answer with a page of its own (502, 504): it is not part of ours.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status < 500 || xhr.getResponseHeader("hx-retarget")) return;
  event.detail.shouldSwap = false;
  say(texts.failed);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target?.id === "messages") onlyOnce();
});
document.addEventListener("htmx:sseClose", (event) => {
  if (event.detail.type === "message" && event.target.closest("[data-reload-on]")) location.reload();
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.target instanceof HTMLFormElement) allowAgain(event.target.parentElement ?? document);
});

function prepare(root) {
  writeTimes(root);
  prepareDrops(root);
  drawCharts(root, texts);
  for (const message of root.querySelectorAll("[data-fades]")) setTimeout(() => message.remove(), 12000);
}
document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));
document.addEventListener("htmx:oobAfterSwap", (event) => prepare(event.target));
prepare(document);
