// Renders /openapi.json. Everything is made of text nodes: nothing in the document can become markup.

const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

// Text with `code` in it.
const prose = (text) => {
  const parts = text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
  return element("span", {}, ...parts);
};

const nameOf = (ref) => ref.split("/").pop();
const anchorOf = (operation) => operation.operationId;

class Page {
  constructor(api) {
    this.api = api;
  }

  resolved(schema) {
    return schema?.$ref ? this.api.components.schemas[nameOf(schema.$ref)] : schema;
  }

  operations() {
    return Object.entries(this.api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
    );
  }

  show() {
    const { title, version, summary, description } = this.api.info;
    document.querySelector("#head").append(
      element("h1", {}, `${title} REST API`),
      element("p", { class: "soft" }, `${summary} Version ${version}. `, element("a", { href: "/openapi.json" }, "openapi.json")),
      element("p", {}, description),
    );
    for (const { name } of this.api.tags) this.showTag(name);
    document.querySelector("#state").remove();
  }

  showTag(tag) {
    const operations = this.operations().filter((operation) => operation.tags.includes(tag));
    const links = operations.map((operation) =>
      element("a", { href: `#${anchorOf(operation)}` }, method(operation.method), element("span", {}, operation.summary.replace(/\.$/, ""))),
    );
    document.querySelector("#links").append(element("section", {}, element("h2", {}, tag), ...links));
    document.querySelector("#main").append(
      element("section", {}, element("h2", {}, tag), ...operations.map((operation) => this.article(operation))),
    );
  }

  article(operation) {
    const body = operation.requestBody && Object.values(operation.requestBody.content)[0].schema;
    return element(
      "article",
      { id: anchorOf(operation) },
      element("h3", {}, method(operation.method), element("code", {}, operation.path)),
      element("p", {}, prose(operation.summary)),
      operation.description ? element("p", {}, prose(operation.description)) : null,
      ...this.parameters(operation.parameters),
      ...(body ? [element("h4", {}, "Body"), this.fields(body)] : []),
      element("h4", {}, "Example"),
      element("pre", {}, this.curl(operation, body)),
      element("h4", {}, "Answers"),
      ...Object.entries(operation.responses).map(([status, answer]) => this.answer(status, answer)),
    );
  }

  parameters(parameters) {
    if (!parameters.length) return [];
    const rows = parameters.map((each) => this.row(each.name, each.schema, each.required, `${each.in}. ${each.description ?? ""}`));
    return [element("h4", {}, "Parameters"), element("table", {}, element("tbody", {}, ...rows))];
  }

  fields(reference) {
    const schema = this.resolved(reference);
    if (!schema.properties) return element("p", { class: "soft" }, this.type(reference));
    const required = new Set(schema.required ?? []);
    const fields = Object.entries(schema.properties).sort(([one], [other]) => required.has(other) - required.has(one));
    const rows = fields.map(([name, field]) => this.row(name, field, required.has(name), field.description ?? ""));
    return element(
      "div",
      {},
      schema.description ? element("p", { class: "soft" }, prose(schema.description)) : null,
      element("table", {}, element("tbody", {}, ...rows)),
    );
  }

  row(name, schema, required, description) {
    const title = element("code", required ? { class: "required" } : {}, name);
    const nested = this.nested(schema);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, title),
      element("td", {}, this.type(schema)),
      element("td", {}, prose(description), nested),
    );
  }

  nested(schema) {
    const inner = [schema, schema.items, ...(schema.anyOf ?? [])].find((each) => each?.$ref);
    if (!inner) return null;
    const details = element("details", {}, element("summary", {}, nameOf(inner.$ref)));
    // Filled when it is opened: models may hold one another.
    details.addEventListener("toggle", () => details.append(this.fields(inner)), { once: true });
    return details;
  }

  type(schema) {
    if (schema.$ref) return nameOf(schema.$ref);
    if (schema.anyOf) return schema.anyOf.map((each) => this.type(each)).join(" or ");
    if (schema.enum) return schema.enum.join(" | ");
    if (schema.items) return `array of ${this.type(schema.items)}${this.bounds(schema)}`;
    return `${schema.format ?? schema.type ?? "anything"}${this.bounds(schema)}`;
  }

  bounds(schema) {
    const low = schema.minimum ?? schema.minItems ?? schema.minLength;
    const high = schema.maximum ?? schema.maxItems ?? schema.maxLength;
    const range = low === undefined && high === undefined ? "" : ` ${low ?? ""}…${high ?? ""}`;
    return schema.default === undefined ? range : `${range} = ${JSON.stringify(schema.default)}`;
  }

  answer(status, answer) {
    const schema = Object.values(answer.content)[0].schema;
    const headers = Object.keys(answer.headers ?? {}).join(", ");
    const details = element(
      "details",
      {},
      element("summary", {}, element("span", { class: "status" }, status), prose(answer.description)),
      element("p", { class: "soft" }, `${Object.keys(answer.content)[0]}; headers: ${headers}`),
    );
    details.addEventListener("toggle", () => details.append(this.fields(schema)), { once: true });
    return details;
  }

  curl(operation, body) {
    const url = `${location.origin}${operation.path}`;
    const lines = [operation.method === "get" ? `curl '${url}'` : `curl -X ${operation.method.toUpperCase()} '${url}'`];
    if (operation.parameters.some((each) => each.name === "If-Match")) lines.push(`-H 'If-Match: "0"'`);
    if (body) lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(this.example(body))}'`);
    return lines.join(" \\\n  ");
  }

  example(reference) {
    const schema = this.resolved(reference);
    if (schema.examples) return schema.examples[0];
    if (schema.enum) return schema.enum[0];
    if (schema.items) return [this.example(schema.items)];
    if (schema.type !== "object") return { integer: 1, number: 1, boolean: true }[schema.type] ?? "…";
    const names = schema.required ?? Object.keys(schema.properties ?? {}).slice(0, 1);
    return Object.fromEntries(names.map((name) => [name, this.example(schema.properties[name])]));
  }
}

const method = (name) => element("span", { class: `method ${name}` }, name.toUpperCase());

const filterLinks = (text) => {
  for (const link of document.querySelectorAll("#links a")) {
    link.hidden = !`${link.textContent} ${link.hash}`.toLowerCase().includes(text.toLowerCase());
  }
};

const start = async () => {
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    new Page(await answer.json()).show();
    document.querySelector("#filter").addEventListener("input", (event) => filterLinks(event.target.value));
    // The browser looked for the place before it was there.
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    document.querySelector("#state").textContent = `The document can't be shown: ${error.message}`;
  }
};

start();
