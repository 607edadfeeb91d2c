// The words of the API for how two answers differ, and for why a pair was not compared, as people say them.

/** The first difference of a pair. */
export const KINDS = {
  status: "Another status",
  missing: "One side has nothing there",
  type: "Another type of value",
  length: "Arrays of different lengths",
  members: "Objects with other members",
  number: "Numbers too far apart",
  text: "Texts not alike enough",
  boolean: "True against false",
  top1: "Another class comes first",
};

/** After a number: "12 without an answer of the shadow". */
export const REASONS = {
  "no-live-answer": "without an answer for the client",
  "no-shadow-answer": "without an answer of the shadow",
  cut: "broke off",
  "both-failed": "failed on both sides",
  "too-large": "too large",
  compressed: "compressed",
  "event-stream": "streams of events",
  grpc: "in gRPC",
  "not-json": "not JSON",
  "nothing-there": "with nothing at the path in both",
  "not-scores": "without scores",
  "only-live": "of which the shadow's half did not come",
  "only-shadow": "of which the client's half did not come",
  duplicate: "a second time",
  waiting: "too many at a time",
  memory: "too much at a time",
  behind: "too fast to take in",
};
