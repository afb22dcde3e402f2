"use strict";
const at = id => document.getElementById(id);
const LABELS = { left: "left", same: "no difference", right: "right" };
const KEYS = { ArrowLeft: "left", 1: "left", ArrowDown: "same", 2: "same", ArrowRight: "right", 3: "right" };
let item = null, answers = {}, current = 0, shown = 0, busy = false;

async function ask(path, body) {
  const sent = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  for (;;) {  // an answer that was stored although its reply was lost is sent again; the server stores it once
    try {
      const reply = await fetch(path, sent);
      if (reply.status < 500) { notice(""); return reply; }
    } catch { /* no connection */ }
    notice("No connection to the study. Your answer is kept here and sent as soon as there is one.");
    await new Promise(done => setTimeout(done, 1000));
  }
}
function notice(text) { at("notice").hidden = !text; at("notice").textContent = text; }
function only(name) { for (const id of ["join", "item", "end"]) at(id).hidden = id !== name; }

async function show(page) {
  document.title = at("title").textContent = page.title;
  at("progress").max = page.of; at("progress").value = page.done;
  at("place").textContent = page.item ? `${page.done + 1} of ${page.of}` : `${page.of} of ${page.of}`;
  item = page.item; answers = {}; current = 0;
  if (!item) return only("end");
  const edits = Boolean(item.images.original);
  at("images").classList.toggle("edits", edits);
  at("before").hidden = !edits;
  at("what").textContent = edits ? "instruction" : "text";
  at("prompt").textContent = item.prompt;
  const waits = Object.entries(item.images).filter(([, name]) => name).map(([side, name]) => {
    at(side).src = `/images/${name}`; return at(side).decode().catch(() => null); });
  at("questions").replaceChildren(...Object.entries(item.questions).map(question));
  only("item"); mark();
  await Promise.all(waits);  // both at once, so that no side is seen first
  shown = performance.now();
}
function question([name, text]) {
  const field = document.createElement("fieldset"), legend = document.createElement("legend"), row = document.createElement("div");
  legend.textContent = text; row.className = "answers"; field.append(legend, row); field.dataset.name = name;
  for (const [value, label] of Object.entries(LABELS)) {
    const box = document.createElement("label"), input = document.createElement("input");
    input.type = "radio"; input.name = name; input.value = value;
    input.onchange = () => choose(name, value);
    box.append(input, label); row.append(box);
  }
  return field;
}
function fields() { return [...at("questions").children]; }
function choose(name, value) {
  answers[name] = value;
  at("questions").querySelector(`input[name="${name}"][value="${value}"]`).checked = true;
  const open = fields().findIndex(field => !(field.dataset.name in answers));
  current = open < 0 ? fields().length - 1 : open;
  mark();
}
function mark() {
  fields().forEach((field, place) => field.classList.toggle("now", place === current));
  at("send").disabled = busy || fields().some(field => !(field.dataset.name in answers));
}
async function send() {
  if (at("send").disabled || !item) return;
  busy = true; mark();
  const reply = await ask("/answer", { item: item.token, ...answers, milliseconds: Math.min(86400000, Math.round(performance.now() - shown)) });
  busy = false;
  if (reply.ok) return show(await reply.json());
  return begin();  // answered in another window, or another study behind the same address
}
async function begin() {
  const reply = await ask("/next");
  return reply.ok ? show(await reply.json()) : only("join");
}
at("enter").onsubmit = async event => {
  event.preventDefault();
  const reply = await ask("/join", { name: at("name").value });
  if (reply.ok) return begin();
  return notice(reply.status === 403 ? "The study has all the raters that it takes. Thank you." : "The study does not accept this.");
};
at("questions").onsubmit = event => event.preventDefault();
at("send").onclick = send;
for (const button of document.querySelectorAll("figure button")) button.onclick = () => {
  at("enlarged").src = button.firstElementChild.src; at("large").showModal(); };
addEventListener("keydown", event => {
  if (at("item").hidden || at("large").open || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = fields()[current];
  if (KEYS[event.key] && field) choose(field.dataset.name, KEYS[event.key]);
  else if (event.key === "Backspace") { current = Math.max(0, current - 1); mark(); }
  else if (event.key === "Enter" && event.target.tagName !== "BUTTON") send();
  else return;
  event.preventDefault();
});
begin();
