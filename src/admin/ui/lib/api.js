// Talks to the API. What it refuses becomes a Problem with its sentence.

const NOBODY = "Serin does not answer. Nothing is known of what became of this.";

/** Why there is no answer; status 0: nobody is there. */
export class Problem extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    this.status = status;
    this.body = body;
  }
}

/** One request. The answer: its body, and its entity tag. */
export async function ask(method, path, { body, type = "application/json", headers = {} } = {}) {
  const wish = { method, headers: { accept: "application/json", ...headers }, cache: "no-store" };
  if (body !== undefined) {
    wish.headers["content-type"] = type;
    wish.body = typeof body === "string" ? body : JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, wish);
  } catch {
    throw new Problem(0, NOBODY);
  }
  // What stands in front of Serin says so when nobody is behind it.
  const isOurs = answer.headers.get("content-type") === "application/problem+json";
  if ([502, 503, 504].includes(answer.status) && !isOurs) throw new Problem(0, NOBODY);
  const text = await answer.text();
  let read = {};
  try {
    read = text ? JSON.parse(text) : {};
  } catch {
    throw new Problem(answer.status, `This is not the API of Serin (${answer.status}).`);
  }
  if (!answer.ok) throw new Problem(answer.status, read.detail || `Serin answers ${answer.status}.`, read);
  return { body: read, tag: answer.headers.get("etag") };
}

export const get = async (path) => (await ask("GET", path)).body;

/** The path of a gateway in the API. */
export const at = (name, rest = "") => `gateways/${encodeURIComponent(name)}${rest}`;

/** The path of a gateway's page. */
export const page = (name, rest = "") => `/gateways/${encodeURIComponent(name)}${rest}`;
