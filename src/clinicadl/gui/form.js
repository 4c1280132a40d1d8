// The form: every setting in its section, the relevant ones shown, the search.

const state = { values: completed(ROOT, FACTS.values ?? {}), images: null, problems: [] };
const form = document.getElementById("form");
// As the CAPS says, else as somebody chose; empty while nobody knows.
const modeOf = () => state.images?.mode ?? document.getElementById("mode").value;
const OPEN_AT_FIRST = ["data", "task", "network", "optimization"];

// A setting was given a value: what depends on it is told.
function setTo(path, value) {
  put(state.values, path, value);
  refresh();
  document.dispatchEvent(new CustomEvent("changed"));
}

function draw() {
  const sections = [];
  for (const [name, schema] of Object.entries(ROOT.properties)) {
    // A setting that is in no section stands with the one before it.
    if (["section", "row"].includes(described(schema).kind)) sections.push(sectionOf(name, schema));
    else sections.at(-1).querySelector(".body").append(settingOf(schema, [name]));
  }
  const wasOpen = [...form.querySelectorAll("details.section")].filter(one => one.open).map(one => one.id);
  form.replaceChildren(...sections);
  for (const section of form.querySelectorAll("details.section")) {
    section.open = wasOpen.length ? wasOpen.includes(section.id) : OPEN_AT_FIRST.includes(section.dataset.name);
  }
  document.getElementById("sections").replaceChildren(...sections.map(section =>
    make("li", {}, make("a", { href: `#${section.id}`, onclick: () => { section.open = true; } }, titleOf(section.dataset.name)))));
  refresh();
}

function sectionOf(name, schema) {
  const { core, kind } = described(schema);
  const body = make("div", { class: "body" });
  if (kind === "section") {
    for (const [key, below] of Object.entries(core.properties)) body.append(settingOf(below, [name, key]));
  } else body.append(settingOf(schema, [name]));
  const description = kind === "section" ? core.description : "";
  return make("details", { class: "section", id: `s-${name}`, "data-name": name },
    make("summary", {}, make("h2", {}, titleOf(name)), make("span", { class: "count" })),
    make("p", { class: "what" }, description), body);
}

function settingOf(schema, path) {
  const { core, kind } = described(schema);
  if (kind === "row") return rowSetting(schema, core, path);
  if (kind === "rows") return rowsSetting(core, path);
  return field(schema, path, at(state.values, path), value => setTo(path, value));
}

// One row of a table: its name, and the settings of its own.
function rowSetting(schema, core, path) {
  const own = make("div", { class: "own" });
  const name = [...path, "name"];
  const names = core.oneOf.map(rowName);
  const choice = { enum: names, type: "string", description: core.description, default: defaultAt(name) };
  const chosen = value => {
    put(state.values, path, defaultsOf(rowOf(core, value)));
    if (path[0] === "task") followTask(value);
    fill();
    setTo(name, value);
  };
  const flag = make("code", {}, path[0] === "task" ? "train TASK" : `--${core.flag ?? path.at(-1)}`);
  const group = field(choice, name, at(state.values, name), chosen, { title: titleOf(path.at(-1)), flag });
  for (const option of group.querySelectorAll("option")) if (option.textContent === "") option.textContent = "(none)";
  const fill = () => {
    const row = rowOf(core, at(state.values, name));
    const what = make("p", { class: "what" }, row?.description?.split("\n")[0] ?? "");
    own.replaceChildren(what, ...(row ? ownOf(row, path) : []));
  };
  fill();
  return make("div", { class: "row", "data-row": path.join(".") }, group, own);
}

const ownOf = (row, path) => Object.entries(row.properties)
  .filter(([key]) => key !== "name").map(([key, schema]) => settingOf(schema, [...path, key]));

// A task brings a network that can learn it, unless the one that was chosen can.
function followTask(task) {
  const facts = FACTS.tasks[task];
  if (FACTS.networks[state.values.network?.name]?.tasks.includes(facts.kind)) return;
  state.values.network = defaultsOf(rowOf(described(ROOT.properties.network).core, facts.network));
  const section = document.getElementById("s-network");
  section.querySelector(".row").replaceWith(settingOf(ROOT.properties.network, ["network"]));
}

// A list of rows, in an order.
function rowsSetting(core, path) {
  const table = described(core.items).core;
  const items = make("ol", { class: "items" });
  const choice = select({ id: `${idOf(path)}-add` }, table.oneOf.map(rowName), String, rowName(table.oneOf[0]), () => {});
  const list = () => at(state.values, path);
  const redraw = () => items.replaceChildren(...list().map((item, i) => itemOf(table, path, i, change)));
  const change = (edit, focus) => {
    edit(list());
    redraw();
    setTo(path, list());
    (focus ? items.querySelector(focus) ?? choice : choice).focus();
  };
  redraw();
  const title = titleOf(path.at(-1));
  return make("div", { class: "rows", "data-rows": path.join("."), "data-path": path.join("."), "data-text": searched(path, core, title) },
    labelOf(title, `${idOf(path)}-add`, flagOf(core, path)),
    items,
    make("div", { class: "control" }, choice, make("button", {
      type: "button", "data-add": path.join("."),
      onclick: () => change(some => some.push(defaultsOf(rowOf(table, choice.value))), "li:last-child button"),
    }, "Add")),
    make("p", { class: "help", id: `${idOf(path)}-help` }, core.description),
    make("p", { class: "error", id: `${idOf(path)}-error` }));
}

function itemOf(table, path, i, change) {
  const item = at(state.values, [...path, i]);
  const row = rowOf(table, item.name);
  const button = (text, label, edit, focus) => make("button", { type: "button", "aria-label": `${label} ${item.name} ${i + 1}`, title: label, onclick: () => change(edit, focus) }, text);
  return make("li", { "data-item": [...path, i].join(".") },
    make("div", { class: "head" }, make("strong", {}, item.name), make("span", { class: "what" }, ` ${row?.description ?? ""}`), " ",
      i > 0 ? button("↑", "Move up", some => some.splice(i - 1, 2, some[i], some[i - 1]), `li:nth-child(${i}) button`) : null,
      button("✕", "Remove", some => some.splice(i, 1))),
    ...(row ? ownOf(row, [...path, i]) : []));
}

// What is shown, what is marked as changed, and where the problems stand.
function refresh() {
  const showsAll = document.getElementById("all").checked;
  const words = document.getElementById("search").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  let hidden = 0;
  for (const element of form.querySelectorAll("[data-path]")) {
    const path = element.dataset.path.split(".");
    const isChanged = !isSame(at(state.values, path), defaultAt(path));
    const isFound = words.every(word => element.dataset.text.includes(word));
    const isUseless = !isRelevant(path);
    hidden += isUseless && !showsAll;
    element.hidden = !isFound || (isUseless && !showsAll);
    element.classList.toggle("changed", isChanged);
    const reset = element.querySelector(":scope > .label .reset");
    reset.hidden = !isChanged || defaultAt(path) === undefined;
  }
  for (const row of form.querySelectorAll(".row")) {
    row.hidden = ![...row.querySelectorAll("[data-path]")].some(one => !one.hidden);
  }
  for (const section of form.querySelectorAll("details.section")) {
    const fields = [...section.querySelectorAll("[data-path]")];
    const n = fields.filter(one => one.classList.contains("changed")).length;
    section.hidden = !fields.some(one => !one.hidden);
    if (words.length && !section.hidden) section.open = true;
    section.querySelector(".count").textContent = n ? `${n} changed` : "";
  }
  document.getElementById("hidden").textContent = hidden ? `${hidden} settings that mean nothing here are hidden` : "";
  document.getElementById("nothing").hidden = [...form.children].some(one => !one.hidden);
  offerFitting();
  mark();
}

// The default of a setting where it stands: of a network, that of the task.
function defaultAt(path) {
  if (path.join(".") === "network.name") return FACTS.tasks[state.values.task?.name]?.network;
  let schema = ROOT, level = state.values;
  for (const step of path) {
    const { core, kind } = described(schema);
    if (kind === "row") {
      if (step === "name") return core.default?.name;
      schema = rowOf(core, level?.name)?.properties[step];
    } else schema = kind === "rows" ? core.items : core.properties?.[step];
    if (!schema) return undefined;
    level = level?.[step];
  }
  return defaultOf(schema);
}

// What somebody has said is shown, even where it means nothing.
function isRelevant(path) {
  return path.every((_, i) => {
    const place = path.slice(0, i + 1);
    const rule = FACTS.rules[place.join(".")];
    if (!rule || !isSame(at(state.values, place), defaultAt(place))) return true;
    const value = rule.on === FACTS.mode ? modeOf() : at(state.values, rule.on.split("."));
    if (rule.on === FACTS.mode && value === "") return true;
    if (rule.on.startsWith(`${path[0]}.`) && value === undefined) return true;
    return rule.values.includes(value ?? null) === rule.among;
  });
}

// Of the networks those that can learn the task, from such images; of the metrics those of the task.
function offerFitting() {
  const task = FACTS.tasks[state.values.task?.name];
  const mode = modeOf();
  const showsAll = document.getElementById("all").checked;
  const n_axes = state.images ? state.images.input_shape.length - 1 : mode === "slice" ? 2 : mode ? 3 : null;
  for (const option of form.querySelectorAll('[data-path="network.name"] option')) {
    const facts = FACTS.networks[option.textContent];
    const fits = facts && facts.tasks.includes(task?.kind) && (n_axes === null || facts.axes.includes(n_axes));
    option.hidden = !fits && !showsAll && !option.selected;
  }
  for (const option of form.querySelectorAll(".rows option")) {
    option.hidden = n_axes === 2 && !showsAll && FACTS.volumes.includes(option.textContent);
  }
  const metrics = form.querySelector('[data-path="task.selection_metrics"] .notes');
  if (metrics && task) metrics.textContent = ` of ${task.metrics.join(", ")}; default: loss`;
}

// Each problem at its setting; what belongs to none is listed with the others beside the form.
function mark() {
  for (const element of form.querySelectorAll(".error")) element.textContent = "";
  for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  for (const problem of state.problems) {
    const element = placeOf(problem.path);
    if (!element) continue;
    element.querySelector(":scope > .error").textContent = problem.message;
    element.querySelector("input, select, textarea").setAttribute("aria-invalid", "true");
    for (let one = element; one !== form; one = one.parentElement) one.hidden = false;
  }
}

// The setting that a problem stands at: of an item of a list the list, of a row its name.
function placeOf(path) {
  for (let n = path.length; n > 0; n--) {
    const place = CSS.escape(path.slice(0, n).join("."));
    const element = form.querySelector(`[data-path="${place}"], .row > [data-path="${place}\\.name"]`);
    if (element) return element;
  }
  return null;
}

form.addEventListener("click", event => {
  const holder = event.target.closest(".reset")?.closest("[data-path]");
  if (!holder) return;
  const path = holder.dataset.path.split(".");
  if (path.at(-1) === "name" && holder.closest(".row")) {
    const input = holder.querySelector("select");
    input.value = defaultAt(path);
    input.dispatchEvent(new Event("change"));
  } else {
    put(state.values, path, defaultAt(path));
    const drawn = settingOf(schemaAt(path), path.map(step => (/^\d+$/.test(step) ? Number(step) : step)));
    holder.replaceWith(drawn);
    setTo(path, defaultAt(path));
    drawn.querySelector("input, select, textarea").focus();
  }
});

function schemaAt(path) {
  let schema = ROOT, level = state.values;
  for (const step of path) {
    const { core, kind } = described(schema);
    schema = kind === "row" ? rowOf(core, level.name).properties[step] : kind === "rows" ? core.items : core.properties[step];
    level = level?.[step];
  }
  return schema;
}

// Escape gives back what a field held when one came to it.
form.addEventListener("focusin", event => { event.target.before = event.target.value; });
form.addEventListener("keydown", event => {
  const input = event.target;
  if (event.key !== "Escape" || !["INPUT", "TEXTAREA"].includes(input.tagName) || input.type === "checkbox") return;
  input.value = input.before;
  input.dispatchEvent(new Event("input"));
});
