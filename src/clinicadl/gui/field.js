// One setting: between its value and what somebody types, and the elements that show it.

const BLANK = /[\s,[\]"]/;

// Text that nobody could mean is handed on as it is: the check says what is wrong with it.
function scalar(core, text) {
  const kind = kindOf(core);
  if (kind === "choice") return core.enum.find(one => String(one) === text) ?? text;
  if (kind === "integer") {
    const number = Number(text);
    return /^\s*[+-]?\d+\s*$/.test(text) && Number.isSafeInteger(number) ? number : text;
  }
  if (kind === "number") return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  return text;
}

function parsed(schema, text) {
  const { core, isNullable, kind } = described(schema);
  const isBlank = text.trim() === "";
  if (isBlank && isNullable) return null;
  if (kind === "list") {
    if (isBlank) return [];
    if (text.trim().startsWith("[")) return fromJson(text);
    const items = text.split(/[\s,]+/).filter(one => one !== "");
    return items.map((one, i) => scalar(resolved(core.prefixItems?.[i] ?? core.items ?? { type: "string" }), one));
  }
  if (kind === "map") return fromJson(text);
  // A folder or a file that nobody named yet is missing, not empty.
  if (text === "" && core.default === undefined) return undefined;
  return scalar(core, text);
}

function fromJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function shown(schema, value) {
  const { isNullable, kind } = described(schema);
  if (value === null || value === undefined) return "";
  if (kind === "list" && Array.isArray(value)) {
    if (value.length === 0) return isNullable ? "[]" : "";
    const isPlain = value.every(one => String(one) !== "" && !BLANK.test(String(one)));
    return isPlain ? value.join(", ") : JSON.stringify(value);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter(one => one != null));
  return element;
}

const idOf = path => `f-${path.join(".")}`;
const ACRONYMS = { caps: "CAPS", tsv: "TSV", json: "JSON", gpu: "GPU", amp: "AMP", kl: "KL", mlflow: "MLflow", roi: "ROI" };

function titleOf(name) {
  const words = String(name).split("_").map(word => ACRONYMS[word] ?? word);
  return words.join(" ").replace(/^./, letter => letter.toUpperCase());
}

// What a setting is called on the command line; some are arguments there, some stand in files alone.
const NEEDED = ["data.caps_directory", "data.preprocessing_json", "data.tsv_directory"];

function flagOf(core, path) {
  const isInFile = kindOf(core) === "map" || path.some(step => /^\d+$/.test(step));
  if (isInFile || NEEDED.includes(path.join("."))) return null;
  return make("code", {}, `--${core.flag ?? path.at(-1)}`);
}

// The label of a setting, with the way back to its default.
function labelOf(title, target, flag) {
  return make("div", { class: "label" },
    make("div", {}, make("label", { for: target }, title), flag),
    make("button", { type: "button", class: "reset", hidden: true, "aria-label": `Back to the default of ${title}`, title: "Back to the default" }, "↺"));
}

function defaultText(schema, core, isNullable) {
  const value = defaultOf(schema);
  if (value === undefined) return isNullable ? "" : "needed";
  if (core.type === "boolean" && value !== null) return `default: ${value ? "yes" : "no"}`;
  const text = shown(schema, value);
  // What nothing means stands in the help, where there is no value to name.
  return text === "" || isObject(value) ? "" : `default: ${text}`;
}

// The control of a setting: `told` is called with each new value.
function control(schema, path, value, told) {
  const { core, isNullable, kind } = described(schema);
  const name = { id: idOf(path), "aria-describedby": `${idOf(path)}-help ${idOf(path)}-error` };
  if (kind === "boolean" && !isNullable) {
    const box = make("input", { ...name, type: "checkbox", onchange: () => told(box.checked) });
    box.checked = value === true;
    return box;
  }
  if (kind === "boolean" || kind === "choice") {
    const options = kind === "choice" ? core.enum : [true, false];
    const words = one => (one === null ? "(automatic)" : one === true ? "yes" : one === false ? "no" : String(one));
    return select(name, [...(isNullable ? [null] : []), ...options], words, value, told);
  }
  const hears = { oninput: event => told(parsed(schema, event.target.value)) };
  const attributes = { ...name, ...hears, autocomplete: "off", spellcheck: "false" };
  if (kind === "map") {
    const area = make("textarea", { ...attributes, rows: 3 });
    area.value = value == null ? "" : JSON.stringify(value);
    return area;
  }
  const isNumber = kind === "integer" || kind === "number";
  const input = make("input", { ...attributes, type: "text", class: isNumber ? "number" : "text" });
  input.value = shown(schema, value);
  return input;
}

function select(attributes, options, words, value, told) {
  // A value that is not among the options comes from a file: it is shown, and refused by the check.
  const all = options.some(one => isSame(one, value)) || value === undefined ? options : [...options, value];
  const element = make("select", { ...attributes, onchange: () => told(all[element.selectedIndex]) },
    ...all.map(one => make("option", {}, words(one))));
  element.selectedIndex = all.findIndex(one => isSame(one, value));
  return element;
}

// A setting with its label, unit, help, default and bounds; and a way back to the default.
function field(schema, path, value, told, { title = titleOf(path.at(-1)), flag } = {}) {
  const { core, isNullable, kind } = described(schema);
  const bounds = boundsText(kind === "list" ? resolved(core.items ?? core.prefixItems?.[0] ?? {}) : core);
  const more = [defaultText(schema, core, isNullable), bounds, kind === "map" ? "written as JSON" : ""];
  const notes = more.filter(one => one !== "").join("; ");
  const shownNotes = notes ? make("span", { class: "notes" }, notes) : null;
  const isWide = ["list", "map", "string"].includes(kind);
  return make("div", { class: `field ${kind}`, "data-path": path.join("."), "data-text": searched(path, core, title) },
    labelOf(title, idOf(path), flag === undefined ? flagOf(core, path) : flag),
    make("div", { class: "control" }, control(schema, path, value, told), core.unit ? make("span", { class: "unit" }, core.unit) : null, isWide ? null : shownNotes),
    make("p", { class: "help", id: `${idOf(path)}-help` }, core.description ?? "", " ", isWide ? shownNotes : null),
    make("p", { class: "error", id: `${idOf(path)}-error` }));
}

const searched = (path, core, title) => `${path.join(" ")} ${core.flag ?? ""} ${title} ${core.description ?? ""}`.toLowerCase();
