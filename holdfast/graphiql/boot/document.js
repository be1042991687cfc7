const STRINGS_AND_COMMENTS = /"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|#.*/g;
const INNERMOST_BRACES = /\{[^{}]*\}/g;
const OPERATION = /\b(query|mutation|subscription)\b\s*(\w*)/g;

/**
 * Which operation of a document is meant: `{ type, name }`, the named one, else the first.
 *
 * Read from the text, because right after a change of tabs GraphiQL still hands over the syntax tree and the
 * operation's name of the tab before.
 */
export function chosenOperation(document, operationName) {
  let text = document.replace(STRINGS_AND_COMMENTS, "");
  for (let deeper = ""; deeper !== text; ) {
    deeper = text;
    text = text.replace(INNERMOST_BRACES, " ");
  }
  const operations = [...text.matchAll(OPERATION)].map(([, type, name]) => ({ type, name: name || undefined }));
  return operations.find(({ name }) => name === operationName) ?? operations[0] ?? { type: "query" };
}
