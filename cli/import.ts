/** `fleetgate devices import`: a list of devices, in lots, with a result for each line, and resumed where it stopped. */
import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs';
import type { Command } from 'commander';
import { type BrokenRow, type ManifestRow, readManifest } from './manifest.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { openProgress, type Progress } from './progress.ts';
import type { RegistryApi } from './registry-api.ts';

interface ImportFlags extends NounFlags {
  fleet?: string;
}

/** As the registry answers it, and as it is kept with the hash of its row. */
interface Result {
  line: number;
  id: string | null;
  status: 'registered' | 'enrolled' | 'done' | 'refused';
  code?: string;
  detail?: string;
}
type KeptResult = Result & { row: string };

interface Tally {
  registered: number;
  enrolled: number;
  /** Done before, by the registry's word. */
  done: number;
  /** Done before, by the results beside the file. */
  skipped: number;
  refused: number;
}

/** Lines of one request: what a run that is killed has to ask for again. */
const lot = 500;
const mostShown = 20;

export function importCommand(devices: Command): void {
  verb(devices.command('import <file>'), 'devices import line-4.csv --fleet plant')
    .description(
      'register devices from CSV or NDJSON; results go to FILE.results.ndjson, and a second run resumes',
    )
    .option('--fleet <fleet>', 'fleet of the rows that name none')
    .action((file: string, flags: ImportFlags) =>
      withRegistry(flags, async (api, output) => {
        const results = `${file}.results.ndjson`;
        const known = readDone(results);
        const progress = openProgress(`importing ${file}`, await count(file), !flags.json);
        const { tally, refused } = await importAll(api, file, results, known, flags.fleet, progress);
        progress.end();
        output.answer({ ...tally, results }, () => [
          `${tally.registered} registered, ${tally.enrolled} enrolled, ${tally.done + tally.skipped} done before, ${tally.refused} refused; results in ${results}`,
          ...refused.map(({ line, id, detail }) => `  line ${line}, ${id ?? 'no id'}: ${detail}`),
          ...(tally.refused > refused.length ? [`  and ${tally.refused - refused.length} more`] : []),
        ]);
        if (tally.refused > 0) process.exitCode = 1;
      }),
    );
}

async function importAll(
  api: RegistryApi,
  file: string,
  results: string,
  known: ReadonlySet<string>,
  fleet: string | undefined,
  progress: Progress,
): Promise<{ tally: Tally; refused: Result[] }> {
  const tally: Tally = { registered: 0, enrolled: 0, done: 0, skipped: 0, refused: 0 };
  const refused: Result[] = [];
  let rows: ManifestRow[] = [];
  const keep = (list: readonly KeptResult[]) => {
    appendFileSync(results, list.map((result) => `${JSON.stringify(result)}\n`).join(''));
    for (const result of list) {
      tally[result.status] += 1;
      if (result.status === 'refused' && refused.length < mostShown) refused.push(result);
      progress.tick();
    }
  };
  const send = async () => {
    if (rows.length === 0) return;
    const sent = rows;
    rows = [];
    const devices = sent.map(({ device }) => ({ ...(fleet !== undefined && { fleet }), ...device }));
    const answers = await api.lines<Result>('/v1/devices:import', devices);
    keep(answers.map((answer, at) => ({ ...answer, line: sent[at]!.line, row: sent[at]!.hash })));
  };
  for await (const row of readManifest(file)) {
    if (known.has(keyOf(row))) {
      tally.skipped += 1;
      progress.tick();
    } else if ('fault' in row) keep([brokenResult(row)]);
    else rows.push(row);
    if (rows.length >= lot) await send();
  }
  await send();
  return { tally, refused };
}

const keyOf = ({ line, hash }: { line: number; hash: string }): string => `${line} ${hash}`;

const brokenResult = ({ line, hash, fault }: BrokenRow): KeptResult => ({
  line,
  id: null,
  status: 'refused',
  code: fault.kind,
  detail: fault.message,
  row: hash,
});

/** Rows that need not be sent again. What a kill has left of a last line is cut off; those that were refused are tried anew. */
function readDone(results: string): Set<string> {
  const done = new Set<string>();
  if (!existsSync(results)) return done;
  const text = readFileSync(results, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) truncateSync(results, Buffer.byteLength(whole));
  for (const each of whole.split('\n').slice(0, -1)) {
    const { line, row, status } = JSON.parse(each) as KeptResult;
    if (status !== 'refused') done.add(keyOf({ line, hash: row }));
  }
  return done;
}

async function count(file: string): Promise<number> {
  let rows = 0;
  for await (const _row of readManifest(file)) rows += 1;
  return rows;
}
