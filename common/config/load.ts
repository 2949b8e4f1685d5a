/**
 * Reads configuration: flags over environment over file over defaults. All problems are gathered and reported together,
 * each with the place it came from, before anything is opened. Durations become milliseconds, sizes bytes.
 */
import type { TSchema } from 'typebox';
import { isMap, LineCounter, type Node, parse, parseDocument, visit } from 'yaml';
import { Fault } from '../fault.ts';
import { parseDuration, parseSize } from '../quantity.ts';
import { nearest } from './nearest.ts';

export interface ConfigurationSources {
  file?: { readonly path: string; readonly text: string };
  /** Only names that begin with `FLEETGATE_` are read: `FLEETGATE_MQTT__MAX_PACKET_SIZE`. */
  env?: Readonly<Record<string, string | undefined>>;
  /** By dotted path: `mqtt.port`. Undefined ones were not given. */
  flags?: Readonly<Record<string, unknown>>;
}

export interface Problem {
  /** Where it was written: `fleetgate.yaml:3:7`, `FLEETGATE_MQTT__PORT`, `--mqtts-port`. */
  readonly place: string;
  readonly message: string;
}

/** Every problem of a configuration, one a line. */
export class ConfigurationFault extends Fault {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super('malformed', problems.map(({ place, message }) => `${place}: ${message}`).join('\n'), {
      fields: { problems },
    });
    this.problems = problems;
  }
}

type Places = Map<string, string>;

/** The settings, complete. `relate` adds problems that lie between keys, by dotted path. Faults ConfigurationFault. */
export function loadConfiguration<Settings>(
  schema: TSchema,
  sources: ConfigurationSources,
  relate: (settings: Settings) => { path: string; message: string }[] = () => [],
): Settings {
  const problems: Problem[] = [];
  const places: Places = new Map();
  const raw = sources.file ? readFile(sources.file, places, problems) : {};
  readEnvironment(sources.env ?? {}, raw, places);
  for (const [path, value] of Object.entries(sources.flags ?? {})) {
    if (value !== undefined) put(raw, path.split('.'), value, places, `--${path}`);
  }
  const report = (path: string, message: string) => problems.push({ place: placeOf(path, places), message });
  const settings = read(schema as unknown as Shape, raw, '', report) as Settings;
  try {
    for (const { path, message } of relate(settings)) report(path, message);
  } catch (thrown) {
    // A value that it needs could not be read, and is among the problems.
    if (problems.length === 0) throw thrown;
  }
  if (problems.length > 0) throw new ConfigurationFault(problems);
  return settings;
}

/** The place of a path, or of the nearest key above it that was written down. */
function placeOf(path: string, places: Places): string {
  for (let at = path; ; at = at.slice(0, Math.max(0, at.lastIndexOf('.')))) {
    const place = places.get(at);
    if (place) return `${place}: ${path || 'the configuration'}`;
    if (at === '') return path || 'the configuration';
  }
}

function readFile(
  file: { path: string; text: string },
  places: Places,
  problems: Problem[],
): Record<string, unknown> {
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${file.path}:${line}:${col}`;
  };
  for (const error of document.errors)
    problems.push({ place: place(error.pos[0]), message: error.message.split('\n')[0]! });
  if (document.errors.length > 0 || document.contents === null) return {};
  if (!isMap(document.contents)) {
    problems.push({ place: place(0), message: 'A configuration is a map of sections.' });
    return {};
  }
  visit(document, {
    Pair(_key, pair, ancestors) {
      const keys = ancestors.flatMap((node) => ('key' in node ? [String(node.key)] : []));
      const path = [...keys, String(pair.key)].join('.');
      places.set(path, place((pair.key as Node).range?.[0] ?? 0));
    },
  });
  return document.toJS() as Record<string, unknown>;
}

const camel = (word: string) =>
  word.toLowerCase().replace(/_([a-z0-9])/g, (_all, letter: string) => letter.toUpperCase());

function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  raw: Record<string, unknown>,
  places: Places,
) {
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('FLEETGATE_') || text === undefined) continue;
    const path = name.slice('FLEETGATE_'.length).split('__').map(camel);
    put(raw, path, parse(text), places, name);
  }
}

function put(
  raw: Record<string, unknown>,
  path: string[],
  value: unknown,
  places: Places,
  place: string,
): void {
  let at = raw;
  for (const key of path.slice(0, -1)) {
    if (typeof at[key] !== 'object' || at[key] === null) at[key] = {};
    at = at[key] as Record<string, unknown>;
  }
  at[path.at(-1)!] = value;
  places.set(path.join('.'), place);
}

/** The part of JSON Schema that schema.ts writes. */
interface Shape {
  type?: string;
  format?: string;
  pattern?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  properties?: Record<string, Shape>;
  patternProperties?: Record<string, Shape>;
  required?: string[];
  items?: Shape;
  anyOf?: Shape[];
}

type Report = (path: string, message: string) => void;

function read(shape: Shape, given: unknown, path: string, report: Report): unknown {
  const value = given === undefined ? structuredClone(shape.default) : given;
  if (shape.anyOf) return readVariant(shape.anyOf, value, path, report);
  switch (shape.type) {
    case 'object':
      return readObject(shape, value, path, report);
    case 'array':
      if (!Array.isArray(value)) return fail(report, path, 'this is a list');
      if (value.length < (shape.minItems ?? 0))
        return fail(report, path, `this has at least ${shape.minItems} entries`);
      return value.map((item, index) => read(shape.items ?? {}, item, `${path}.${index}`, report));
    case 'integer':
      return readInteger(shape, value, path, report);
    case 'boolean':
      return typeof value === 'boolean' ? value : fail(report, path, 'this is true or false');
    default:
      return readText(shape, value, path, report);
  }
}

function fail(report: Report, path: string, message: string): undefined {
  report(path, message);
  return undefined;
}

function readObject(shape: Shape, value: unknown, path: string, report: Report): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail(report, path, 'this is a section');
  const given = value as Record<string, unknown>;
  const at = (key: string) => (path === '' ? key : `${path}.${key}`);
  const any = Object.values(shape.patternProperties ?? {})[0];
  if (any)
    return Object.fromEntries(
      Object.entries(given).map(([key, item]) => [key, read(any, item, at(key), report)]),
    );
  const known = shape.properties ?? {};
  for (const key of Object.keys(given)) {
    if (key in known) continue;
    const guess = nearest(key, Object.keys(known));
    report(at(key), `there is no such key${guess ? `; did you mean ${guess}?` : ''}`);
  }
  const settings: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(known)) {
    const missing = given[key] === undefined && inner.default === undefined;
    if (!missing) settings[key] = read(inner, given[key], at(key), report);
    else if (shape.required?.includes(key)) report(at(key), 'this is missing');
  }
  return settings;
}

/** One of several objects, told apart by the constant in `type`. */
function readVariant(variants: Shape[], value: unknown, path: string, report: Report): unknown {
  const words = variants.map((variant) => String(variant.properties?.type?.const));
  const type =
    typeof value === 'object' && value !== null ? String((value as { type?: unknown }).type) : undefined;
  const chosen = variants[words.indexOf(type ?? '')];
  return chosen
    ? read(chosen, value, path, report)
    : fail(report, path, `type is one of ${words.join(', ')}`);
}

function readInteger(shape: Shape, value: unknown, path: string, report: Report): unknown {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = shape;
  if (Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum)
    return value;
  const bounds = shape.maximum === undefined ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return fail(report, path, `${JSON.stringify(value)} is not a whole number ${bounds}`);
}

function readText(shape: Shape, value: unknown, path: string, report: Report): unknown {
  if (shape.const !== undefined)
    return value === shape.const ? value : fail(report, path, `this is ${shape.const}`);
  if (shape.enum) {
    return shape.enum.includes(value)
      ? value
      : fail(report, path, `${JSON.stringify(value)} is none of ${shape.enum.join(', ')}`);
  }
  if (typeof value !== 'string') return fail(report, path, `${JSON.stringify(value)} is not a text`);
  if (shape.format === 'duration' || shape.format === 'size') {
    try {
      return shape.format === 'duration' ? parseDuration(value) : parseSize(value);
    } catch (thrown) {
      return fail(report, path, Fault.of(thrown).message);
    }
  }
  return value;
}
