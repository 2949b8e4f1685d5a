/** `fleetgate audit`: who did what; a copy of it to keep elsewhere; and whether anything was done to it since. */
import { appendFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parseTimestamp } from '#common/clock.ts';
import { AuditChain, type AuditHead, type AuditRow } from '#common/contract/audit-chain.ts';
import { Fault } from '#common/fault.ts';
import {
  type CopyVerdict,
  endLine,
  headLine,
  rowLine,
  verdictOf,
  verifyDatabase,
  verifyFile,
} from './audit-copy.ts';
import { asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { type Output, openOutput, paint, table } from './output.ts';
import type { RegistryApi } from './registry-api.ts';

interface AuditEntry {
  id: number;
  time: string;
  actor: string;
  action: string;
  target: string;
  detail: unknown;
  previous: string;
  hash: string;
}

interface VerifyFlags extends NounFlags {
  database?: string;
  head?: string;
  count?: string;
}

export function auditCommands(program: Command): void {
  const audit = program.command('audit').description('who did what');
  verb(audit.command('list'), 'audit list --since 100')
    .description('who did what, oldest first')
    .option('--since <id>', 'after this entry', '0')
    .option('--limit <n>', 'at most so many', '100')
    .action((flags: NounFlags & { since: string; limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const { items } = await api.call<{ items: AuditEntry[] }>(
          'GET',
          `/v1/audit?since=${Number(flags.since)}&limit=${Number(flags.limit)}`,
        );
        output.answer(items, () =>
          table(
            ['#', 'TIME', 'WHO', 'DID', 'TO'],
            items.map(({ id, time, actor, action, target }) => [id, time, actor, action, target]),
          ),
        );
      }),
    );
  verb(audit.command('head'), 'audit head')
    .description('count and hash of the last entry: note them elsewhere, to prove later that none is missing')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const head = await api.call<AuditHead>('GET', '/v1/audit/head');
        output.answer(head, () => [`${head.count} ${head.hash}`]);
      }),
    );
  verb(audit.command('export <file>'), 'audit export audit.ndjson')
    .description('write all of it to a file that can be verified without a server')
    .action((file: string, flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        let head: AuditHead = new AuditChain().head;
        writeFileSync(file, `${headLine()}\n`, { mode: 0o600 });
        for await (const rows of pagesOf(api)) {
          appendFileSync(file, rows.map((row) => `${rowLine(row)}\n`).join(''));
          const last = rows.at(-1);
          if (last) head = { count: last.id, hash: last.hash };
        }
        appendFileSync(file, `${endLine(head)}\n`);
        output.answer({ file, ...head }, () => [
          `${head.count} entries are in ${file}; the last has the hash ${head.hash}.`,
        ]);
      }),
    );
  verb(audit.command('verify [file]'), 'audit verify audit.ndjson --head 9f86d0…')
    .description('check that no entry was changed, removed or put in: of a copy, or of the server')
    .option('--database <file>', 'of a copy of registry.db')
    .option('--head <hash>', 'hash of an entry as it is known from elsewhere: it must be there')
    .option('--count <n>', 'number of that entry')
    .action(async (file: string | undefined, flags: VerifyFlags) => {
      const expected = asked(() => expectedHead(flags));
      if (file !== undefined && flags.database !== undefined)
        asked(() => {
          throw new Fault('malformed', 'Name a file or a database, not both.');
        });
      if (file !== undefined) return tell(openOutput(flags.json === true), await verifyFile(file, expected));
      if (flags.database !== undefined)
        return tell(openOutput(flags.json === true), verifyDatabase(flags.database, expected));
      return withRegistry(flags, async (api, output) => {
        const whole = flags.head === undefined && flags.count === undefined;
        // A head is not shown to the server: it could be told what one wants to hear.
        const verdict = whole
          ? await api.call<CopyVerdict>('GET', '/v1/audit/verdict')
          : await verifyServer(api, expected);
        tell(output, verdict);
      });
    });
}

function expectedHead({ head, count }: VerifyFlags): Partial<AuditHead> {
  if (head !== undefined && !/^[0-9a-f]{64}$/.test(head))
    throw new Fault('malformed', 'A head is the hash of an entry: 64 hex digits.');
  if (count !== undefined && !/^[0-9]{1,15}$/.test(count))
    throw new Fault('malformed', 'A count is a whole number.');
  return { ...(head !== undefined && { hash: head }), ...(count !== undefined && { count: Number(count) }) };
}

async function verifyServer(api: RegistryApi, expected: Partial<AuditHead>): Promise<CopyVerdict> {
  const chain = new AuditChain(expected);
  for await (const rows of pagesOf(api)) if (!rows.every((row) => chain.take(row))) break;
  return verdictOf(chain, chain.end());
}

/** All rows, as they are hashed. */
async function* pagesOf(api: RegistryApi): AsyncGenerator<AuditRow[]> {
  const limit = 1000;
  for (let since = 0; ; ) {
    const { items } = await api.call<{ items: AuditEntry[] }>(
      'GET',
      `/v1/audit?since=${since}&limit=${limit}`,
    );
    yield items.map(({ time, detail, ...row }) => ({
      ...row,
      time_ms: parseTimestamp(time),
      detail: JSON.stringify(detail),
    }));
    if (items.length < limit) return;
    since = items.at(-1)?.id ?? since;
  }
}

function tell(output: Output, verdict: CopyVerdict): void {
  const { intact, entries, finding, head } = verdict;
  output.answer(verdict, () => [
    intact
      ? `The audit is intact: ${entries} entries, each following from the one before; the last has the hash ${head.hash}.`
      : paint('red', `The audit is not as it was written, at entry ${finding?.at}: ${finding?.sentence}`),
  ]);
  if (!intact) process.exitCode = 1;
}
