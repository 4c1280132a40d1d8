// Beside the form: what is wrong, the command, the network, the splits; opening and saving.

const get = id => document.getElementById(id);
let turn = 0, timer = null, isSaved = true, lookedAt = null, answering = Promise.resolve();

async function ask(address, body = {}) {
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-ClinicaDL-Token": FACTS.token },
      body: JSON.stringify({ settings: state.values, ...body }),
    });
    return response.ok ? await response.json() : { ok: false, message: await response.text() };
  } catch {
    return { ok: false, message: "There is no answer: clinicadl gui ended, or its terminal says what went wrong. Keep this page open, and copy what you need." };
  }
}

function say(text, isWrong = false) {
  get("said").textContent = text;
  get("said").classList.toggle("wrong", isWrong);
}

// A folder that nobody has named yet is no mistake: it is asked for.
const isAwaited = problem => NEEDED.includes(problem.path.join(".")) && at(state.values, problem.path) === undefined;

function showProblems(found) {
  state.problems = found.filter(one => !isAwaited(one));
  const awaited = found.filter(isAwaited);
  const items = state.problems.map(one => make("li", {}, make("a", {
    href: "#form", onclick: event => { event.preventDefault(); goTo(one.path); },
  }, one.path.join(".") || "settings"), ` ${one.message}`));
  get("problems").replaceChildren(...items);
  const n = state.problems.length;
  get("verdict").textContent = n ? `${n === 1 ? "One setting" : `${n} settings`} cannot be used:`
    : awaited.length ? `Still needed: ${awaited.map(one => titleOf(one.path.at(-1))).join(", ")}.`
      : HAS_SERVER ? "All settings can be used." : "All settings are within their bounds.";
  get("badge").textContent = n ? `${n} to mend` : awaited.length ? `${awaited.length} needed` : "ready";
  get("badge").className = n ? "wrong" : awaited.length ? "" : "right";
  get("verdict").className = n ? "wrong" : awaited.length ? "" : "right";
  mark();
  return found.length === 0;
}

function goTo(path) {
  // What is wrong between the settings of a section is said of the section.
  const element = placeOf(path) ?? form.querySelector(`[data-path^="${CSS.escape(path[0] ?? "")}."]`);
  if (!element) return;
  element.closest("details.section").open = true;
  element.querySelector("input, select, textarea").focus();
}

function changed() {
  isSaved = false;
  get("working").textContent = "…";
  // An answer that is on its way is of settings that are gone.
  turn += 1;
  clearTimeout(timer);
  timer = setTimeout(() => { answering = look(); }, 150);
}

async function look() {
  const mine = ++turn;
  const found = HAS_SERVER ? await ask("/check") : { ok: true, problems: problemsOf(ROOT, state.values, []) };
  if (mine !== turn) return;
  const isRight = found.ok ? showProblems(found.problems) : (say(found.message, true), false);
  await showCommand(isRight, mine);
  if (mine === turn && HAS_SERVER) await showImages(isRight, mine);
  if (mine === turn && HAS_SERVER && get("network").open) await showNetwork(isRight, mine);
  if (mine === turn) get("working").textContent = "";
}

function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

async function showCommand(isRight, mine) {
  const maps = get("maps").value || "maps";
  let found = { ok: false, message: "The command is shown when all settings can be used." };
  if (isRight && HAS_SERVER) found = await ask("/command", { maps });
  else if (isRight) {
    const data = state.values.data;
    const words = ["train", state.values.task.name, data.caps_directory, data.preprocessing_json, data.tsv_directory, maps, "--config_file", "experiment.toml"];
    found = { ok: true, command: ["clinicadl", ...words].map(quoted).join(" "), file: "experiment.toml" };
  }
  if (mine !== turn) return;
  // A line breaks between words, not behind the dashes of an option.
  const words = found.ok ? found.command.split(" ") : [];
  get("command").replaceChildren(...words.flatMap((word, i) => [...(i ? [" "] : []), make("span", {}, word)]));
  get("command-note").textContent = !found.ok ? found.message : found.file ? `Save the settings as ${found.file} first: the command reads them there.` : "";
  get("copy").hidden = !found.ok;
}

// The mode and the shape of the images are read where the CAPS is there already.
async function showImages(isRight, mine) {
  const asked = JSON.stringify([state.values.data, state.values.transforms, state.values.multi_network]);
  if (!isRight || asked === lookedAt) return;
  const found = await ask("/images");
  if (mine !== turn) return;
  lookedAt = asked;
  state.images = found.ok ? found : null;
  get("mode").disabled = found.ok;
  if (found.ok) get("mode").value = found.mode;
  get("images-note").textContent = found.ok
    ? `Read from the CAPS: ${found.mode}, ${found.n_parts} ${found.n_parts === 1 ? "part" : "parts"} an image, ${found.input_shape.join(" x ")}.` : "";
  get("size").hidden = found.ok;
  refresh();
}

const million = n => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} million` : n.toLocaleString("en"));

function table(head, rows) {
  return make("div", { class: "wide" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map(one => make("th", { scope: "col" }, one)))),
    make("tbody", {}, ...rows.map(row => make("tr", {}, ...row.map(one => make("td", {}, one)))))));
}

async function showNetwork(isRight, mine) {
  const into = get("network-shown");
  const input_size = state.images ? null : get("input-size").value;
  if (!isRight) return into.replaceChildren("The network is shown when all settings can be used.");
  if (!state.images && !input_size) {
    const example = FACTS.networks[state.values.network.name]?.example ?? [1, 169, 208, 179];
    return into.replaceChildren(`No prepared image was found: say what the network gets, such as ${example[0]}@${example.slice(1).join("x")}.`);
  }
  const found = await ask("/network", { input_size });
  if (mine !== turn) return;
  if (!found.ok) return into.replaceChildren(make("p", { class: "wrong" }, found.message));
  const { memory } = found;
  into.replaceChildren(
    make("p", {}, make("strong", {}, `${state.values.network.name}: ${million(found.n_parameters)} parameters`),
      found.n_networks > 1 ? `, ${found.n_networks} networks` : "", found.n_learning < found.n_parameters ? `, ${million(found.n_learning)} learn` : "",
      `. It gets ${found.input_shape.join(" x ")}${state.values.task.name === "classification" ? `, for ${found.n_outputs} classes` : ""}.`),
    make("p", { class: memory.fits ? "" : "wrong" }, `Training needs about ${memory.total} of memory (weights ${memory.weights}, activations ${memory.activations})`,
      memory.free ? `; ${memory.free} are free on this ${memory.where}${memory.fits ? "" : ": too little"}.` : "."),
    make("details", {}, make("summary", {}, `${found.layers.length} layers`),
      table(["Layer", "Kind", "Gives", "Parameters"], found.layers.map(one => [one.name, one.kind, one.output.join(" x "), one.n_parameters.toLocaleString("en")]))));
}

async function showSplits() {
  const into = get("splits-shown");
  into.replaceChildren("Reading…");
  const found = await ask("/splits");
  if (!found.ok) return into.replaceChildren(make("p", { class: "wrong" }, found.message));
  const findings = found.findings.map(one => make("li", { class: one.severity === "refuse" ? "wrong" : "" }, `${one.sentence}. ${one.fixes.join(" ")}`.replace("..", ".")));
  into.replaceChildren(
    make("p", { class: found.is_refused ? "wrong" : findings.length ? "" : "right" },
      found.is_refused ? "The leakage guard refuses this training:" : findings.length ? "The leakage guard warns:" : "The leakage guard finds nothing in the tables. Images are compared when the training starts."),
    make("ul", {}, ...findings),
    ...found.splits.map(split => make("section", {},
      make("h3", {}, `Split ${split.number}${split.is_trained ? "" : " (not trained)"}`),
      table(["", ...split.sets.map(one => one.name)], [
        ["participants", ...split.sets.map(one => String(one.participants.length))],
        ["sessions", ...split.sets.map(one => String(one.n_sessions))],
        ...Object.keys(split.sets[0].cells).map(column => [column, ...split.sets.map(one => one.cells[column] ?? "")]),
      ]),
      ...split.sets.map(one => make("details", {}, make("summary", {}, `Who is in ${one.name}`), make("p", { class: "who" }, one.participants.join(", ")))))));
}

async function open(file) {
  const text = await file.text();
  let found;
  if (HAS_SERVER) found = await ask("/open", { text, name: file.name });
  else {
    try {
      const values = completed(ROOT, TOML.parse(text));
      const wrong = problemsOf(ROOT, values, []).filter(one => !isAwaitedIn(values, one));
      found = wrong.length ? { ok: false, message: `${file.name}, ${wrong[0].path.join(".")}: ${wrong[0].message}` } : { ok: true, values };
    } catch (error) {
      found = { ok: false, message: `${file.name} is not TOML: ${error.message.split("\n")[0]}` };
    }
  }
  if (!found.ok) return say(found.message, true);
  state.values = completed(ROOT, found.values);
  draw();
  say(`${file.name} was opened.`);
  changed();
  isSaved = true;
}

const isAwaitedIn = (values, problem) => NEEDED.includes(problem.path.join(".")) && at(values, problem.path) === undefined;

const withoutNull = value => (Array.isArray(value) ? value.map(withoutNull) : !isObject(value) ? value
  : Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null).map(([key, one]) => [key, withoutNull(one)])));

async function save(address) {
  clearTimeout(timer);
  await (answering = look());
  if (state.problems.length) {
    say("Nothing was saved: a setting cannot be used.", true);
    return goTo(state.problems[0].path);
  }
  const found = HAS_SERVER ? await ask(address) : { ok: true, toml: TOML.stringify(withoutNull(state.values)), name: "experiment.toml" };
  if (!found.ok) return say(found.message, true);
  if (found.toml !== undefined) {
    const url = URL.createObjectURL(new Blob([found.toml], { type: "application/toml" }));
    make("a", { href: url, download: found.name }).click();
    URL.revokeObjectURL(url);
  }
  isSaved = true;
  const missing = NEEDED.filter(path => at(state.values, path.split(".")) === undefined);
  say(`Saved ${found.saved ?? `as ${found.name}`}.${missing.length ? ` What is still needed is named on the command line.` : ""}`);
}

document.addEventListener("changed", changed);
get("open").addEventListener("click", () => get("file").click());
get("file").addEventListener("change", event => { open(event.target.files[0]); event.target.value = ""; });
get("download").addEventListener("click", () => save("/toml"));
get("save")?.addEventListener("click", () => save("/save"));
get("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(get("command").textContent);
    say("The command was copied.");
  } catch {
    getSelection().selectAllChildren(get("command"));
    say("Press Ctrl-C: the command is selected.");
  }
});
get("search").addEventListener("input", refresh);
get("search").addEventListener("keydown", event => { if (event.key === "Escape") { event.target.value = ""; refresh(); } });
get("all").addEventListener("change", refresh);
get("mode").addEventListener("change", refresh);
get("maps").addEventListener("input", changed);
get("input-size").addEventListener("input", changed);
get("network").addEventListener("toggle", changed);
get("look-splits").addEventListener("click", showSplits);
addEventListener("keydown", event => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    save(get("save") ? "/save" : "/toml");
  }
});
addEventListener("beforeunload", event => { if (!isSaved) event.preventDefault(); });

draw();
answering = look();
