// Asking the server: JSON, and forms that are answered line by line.

export class Trouble extends Error {}

export async function get(address) {
  return (await answered(fetch(address))).json();
}

/** Send a form and call onLine with each line of the answer as it arrives. Throws Trouble, or AbortError. */
export async function post(address, fields, onLine, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const response = await answered(fetch(address, { method: "POST", body: form, signal }));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) onLine(JSON.parse(line));
  }
}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  let said = `the server answered ${response.status}`;
  try { said = (await response.json()).error; } catch { /* not one of its own answers */ }
  throw new Trouble(`${said[0].toUpperCase()}${said.slice(1)}.`);
}

/** A side of a question: a file or a gallery item. Throws Trouble for a file that the server would refuse. */
export function fromFile(file, most) {
  if (file.size > most) throw new Trouble(`A picture may have ${most / 1e6} MB, this one has ${(file.size / 1e6).toFixed(1)} MB.`);
  if (file.type && !file.type.startsWith("image/")) throw new Trouble(`${file.name} is no picture (${file.type}).`);
  return { file, name: file.name, address: URL.createObjectURL(file) };
}

export function fromItem(row, version) {
  return { row, version };
}

/** What a form holds for a side: the file, or the item's number in a version of the gallery. */
export function asField(side) {
  return side.file ?? `${side.row}@${side.version}`;
}
