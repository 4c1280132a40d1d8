// What the JSON Schema says of a setting: its kind, its default, and what is wrong with a value.

const FACTS = JSON.parse(document.getElementById("facts").textContent);
const ROOT = FACTS.schema;
const HAS_SERVER = FACTS.token !== null;

function resolved(schema) {
  return schema.$ref ? { ...ROOT.$defs[schema.$ref.split("/").pop()], ...schema, $ref: undefined } : schema;
}

// A setting that may be unset is `anyOf` of its type and null: `core` is the type alone.
function described(schema) {
  const whole = resolved(schema);
  const others = (whole.anyOf ?? [whole]).filter(one => one.type !== "null").map(resolved);
  const core = whole.anyOf ? { ...others[0], ...whole, anyOf: undefined } : whole;
  return { core, isNullable: others.length < (whole.anyOf ?? [whole]).length, kind: kindOf(core) };
}

function kindOf(core) {
  if (core.oneOf) return "row";
  if (core.enum) return "choice";
  if (core.type === "array") return (core.items ?? {}).oneOf ? "rows" : "list";
  if (core.type === "object") return core.properties ? "section" : "map";
  return core.type; // boolean, integer, number, string
}

const rowName = row => row.properties.name.const;
const rowOf = (core, name) => core.oneOf.find(row => rowName(row) === name);

// The value that a setting has when nobody says anything; undefined where somebody must.
function defaultOf(schema) {
  const { core, kind } = described(schema);
  if (core.default !== undefined && kind !== "section") return structuredClone(core.default);
  return kind === "section" ? defaultsOf(core) : undefined;
}

function defaultsOf(core) {
  const values = {};
  for (const [name, schema] of Object.entries(core.properties)) {
    const value = schema.const ?? defaultOf(schema);
    if (value !== undefined) values[name] = value;
  }
  return values;
}

// Settings as a file says them, with the defaults of all that it does not say.
function completed(core, given) {
  const values = defaultsOf(core);
  for (const [name, value] of Object.entries(given)) {
    values[name] = core.properties[name] ? filled(core.properties[name], value) : value;
  }
  return values;
}

function filled(schema, given) {
  const { core, kind } = described(schema);
  if (kind === "row") {
    const said = typeof given === "string" ? { name: given } : given;
    const row = rowOf(core, said.name ?? core.default.name);
    return row ? completed(row, said) : said;
  }
  if (kind === "rows" && Array.isArray(given)) return given.map(one => filled(core.items, one));
  if (kind === "section" && isObject(given)) return completed(core, given);
  return given;
}

const isObject = value => value !== null && typeof value === "object" && !Array.isArray(value);
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function at(values, path) {
  return path.reduce((level, step) => (level == null ? undefined : level[step]), values);
}

function put(values, path, value) {
  const level = path.slice(0, -1).reduce((inner, step) => (inner[step] ??= {}), values);
  if (value === undefined) delete level[path.at(-1)];
  else level[path.at(-1)] = value;
}

const TYPES = { integer: "a whole number", number: "a number", string: "text", boolean: "yes or no" };

// What is wrong with a value, as far as the schema alone tells: [{path, message}].
function problemsOf(schema, value, path) {
  const { core, isNullable, kind } = described(schema);
  const said = message => [{ path, message: `${message} (found: ${JSON.stringify(value)}).` }];
  if (value === undefined) return [{ path, message: "This setting is missing: give it a value." }];
  if (value === null && isNullable) return [];
  if (kind === "section") return isObject(value) ? membersOf(core, value, path) : said("This is no section");
  if (kind === "row") {
    const row = isObject(value) && rowOf(core, value.name);
    if (!row) return [{ path: [...path, "name"], message: `'${value?.name}' is not one of ${core.oneOf.map(rowName).join(", ")}.` }];
    return membersOf(row, value, path);
  }
  if (kind === "choice") return core.enum.includes(value) ? [] : said(`This must be one of ${core.enum.join(", ")}`);
  if (kind === "list" || kind === "rows") {
    if (!Array.isArray(value)) return said("This must be a list");
    if (value.length < (core.minItems ?? 0)) return said(`This needs ${core.minItems} or more values`);
    if (value.length > (core.maxItems ?? Infinity)) return said(`This takes ${core.maxItems} values at most`);
    return value.flatMap((one, i) => problemsOf(core.prefixItems?.[i] ?? core.items, one, [...path, i]));
  }
  if (kind === "map") {
    if (!isObject(value)) return said('This must be an object, such as {"AD": 1}');
    if (Object.keys(value).length < (core.minProperties ?? 0)) return said("This needs an entry");
    return Object.entries(value).flatMap(([key, one]) => problemsOf(core.additionalProperties, one, [...path, key]));
  }
  if (kind === "integer" ? !Number.isInteger(value) : typeof value !== kind) return said(`This must be ${TYPES[kind]}`);
  const broken = BOUNDS.find(([key, isRight]) => core[key] !== undefined && !isRight(value, core[key]));
  return broken ? said(`This must be ${broken[2]} ${core[broken[0]]}`) : [];
}

function membersOf(core, value, path) {
  const strange = Object.keys(value).filter(name => !core.properties[name]);
  return [
    ...strange.map(name => ({ path: [...path, name], message: `The setting ${name} is not known.` })),
    ...Object.entries(core.properties)
      .filter(([, schema]) => schema.const === undefined)
      // A setting that is not said has its default, if there is one.
      .flatMap(([name, schema]) => problemsOf(schema, value[name] === undefined ? defaultOf(schema) : value[name], [...path, name])),
  ];
}

const BOUNDS = [
  ["minimum", (value, bound) => value >= bound, "at least"],
  ["maximum", (value, bound) => value <= bound, "at most"],
  ["exclusiveMinimum", (value, bound) => value > bound, "above"],
  ["exclusiveMaximum", (value, bound) => value < bound, "below"],
  ["multipleOf", (value, bound) => value % bound === 0, "a multiple of"],
  ["minLength", (value, bound) => value.length >= bound, "of a length of at least"],
  ["pattern", (value, bound) => new RegExp(bound, "u").test(value), "of the form"],
];

function boundsText(core) {
  return BOUNDS.filter(([key]) => core[key] !== undefined && key !== "minLength")
    .map(([key, , words]) => `${words} ${core[key]}`).join(", ");
}
