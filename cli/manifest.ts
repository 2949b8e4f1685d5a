/** Lists of devices in files: CSV with a header (`id`, `fleet`, `role`, `state`, `csr`, `attributes.x`), or NDJSON. */
import { hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Fault } from '#common/fault.ts';
import { CsvReader, type CsvRecord } from './csv.ts';

/** What a file says of a device; the registry judges it. */
export interface ManifestDevice {
  id: string;
  fleet?: string;
  role?: string;
  state?: string;
  csr?: string;
  attributes?: Record<string, string>;
}

export interface ManifestRow {
  /** In the file, counting from 1. */
  readonly line: number;
  /** The beginning of a SHA-256 over what the row says: the same row is known again. */
  readonly hash: string;
  readonly device: ManifestDevice;
}

/** A row that is none. */
export interface BrokenRow {
  readonly line: number;
  readonly hash: string;
  readonly fault: Fault;
}

const columns = ['id', 'fleet', 'role', 'state', 'csr'] as const;
const attributePrefix = 'attributes.';

/** Rows as they stand in the file, one at a time. Faults `malformed` for a file of which nothing more can be read. */
export async function* readManifest(path: string): AsyncGenerator<ManifestRow | BrokenRow> {
  yield* /\.csv$/i.test(path) ? csvRows(path) : ndjsonRows(path);
}

async function* ndjsonRows(path: string): AsyncGenerator<ManifestRow | BrokenRow> {
  let line = 0;
  for await (const text of createInterface({ input: openText(path), crlfDelay: Number.POSITIVE_INFINITY })) {
    line += 1;
    const plain = (line === 1 ? withoutMark(text) : text).trim();
    if (plain === '') continue;
    const row = { line, hash: hashOf(plain) };
    try {
      const device = JSON.parse(plain) as unknown;
      if (typeof (device as { id?: unknown } | null)?.id !== 'string')
        yield { ...row, fault: new Fault('malformed', 'The line is no object with an "id".') };
      else yield { ...row, device: device as ManifestDevice };
    } catch {
      yield { ...row, fault: new Fault('malformed', 'The line is not JSON.') };
    }
  }
}

async function* csvRows(path: string): AsyncGenerator<ManifestRow | BrokenRow> {
  const reader = new CsvReader();
  let header: readonly string[] | undefined;
  let isFirst = true;
  const rowsOf = function* (records: readonly CsvRecord[]): Generator<ManifestRow | BrokenRow> {
    for (const { line, fields } of records) {
      if (header) yield csvRow(line, header, fields);
      else header = readHeader(fields);
    }
  };
  for await (const chunk of openText(path)) {
    const text = isFirst ? withoutMark(chunk as string) : (chunk as string);
    isFirst = false;
    yield* rowsOf(reader.push(text));
  }
  yield* rowsOf(reader.end());
}

function readHeader(fields: readonly string[]): readonly string[] {
  const unknown = fields.find(
    (name) => !(columns as readonly string[]).includes(name) && !isAttributeColumn(name),
  );
  if (unknown !== undefined) {
    const known = `${columns.join(', ')} and ${attributePrefix}NAME`;
    throw new Fault('malformed', `There is no column "${unknown}": columns are ${known}.`);
  }
  if (!fields.includes('id'))
    throw new Fault('malformed', 'The first row names the columns, "id" among them.');
  if (new Set(fields).size < fields.length) throw new Fault('malformed', 'A column is named twice.');
  return fields;
}

const isAttributeColumn = (name: string): boolean =>
  name.startsWith(attributePrefix) && name.length > attributePrefix.length;

/** A field that is empty says nothing. */
function csvRow(line: number, header: readonly string[], fields: readonly string[]): ManifestRow | BrokenRow {
  const row = { line, hash: hashOf(JSON.stringify([header, fields])) };
  if (fields.length !== header.length) {
    const why = `The row has ${fields.length} fields, the header ${header.length}.`;
    return { ...row, fault: new Fault('malformed', why) };
  }
  const device: ManifestDevice = { id: '' };
  const attributes: Record<string, string> = Object.create(null);
  for (const [at, name] of header.entries()) {
    const value = fields[at]!;
    if (value === '') continue;
    if (isAttributeColumn(name)) attributes[name.slice(attributePrefix.length)] = value;
    else device[name as (typeof columns)[number]] = value;
  }
  if (Object.keys(attributes).length > 0) device.attributes = { ...attributes };
  return { ...row, device };
}

const openText = (path: string) => createReadStream(path, { encoding: 'utf8' });
const hashOf = (text: string): string => hash('sha256', text, 'hex').slice(0, 16);
/** Some programs begin a text with a byte order mark. */
const withoutMark = (text: string): string => text.replace(/^\ufeff/, '');
