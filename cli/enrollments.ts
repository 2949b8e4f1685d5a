/** `fleetgate enrollments`: those that wait for an operator, and what became of them. */
import type { Command } from 'commander';
import { allItems, type NounFlags, verb, withRegistry } from './noun.ts';
import { table } from './output.ts';

interface Enrollment {
  id: string;
  fleet: string;
  deviceId: string;
  state: string;
  source: string;
  csrHash: string;
  createdAt: string;
  reason: string | null;
}

export function enrollmentCommands(program: Command): void {
  const enrollments = program.command('enrollments').description('enrollments that wait for approval');
  verb(enrollments.command('list'), 'enrollments list --state pending')
    .description('enrollments in fleets with manual approval, oldest first')
    .option('--state <state>', 'pending, approved, denied or issued')
    .option('--fleet <fleet>')
    .option('--limit <n>', 'at most so many', '1000')
    .action((flags: NounFlags & { state?: string; fleet?: string; limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const { state, fleet } = flags;
        const items = await allItems<Enrollment>(
          api,
          '/v1/enrollments',
          { state, fleet },
          Number(flags.limit),
        );
        output.answer(items, () =>
          table(
            ['ENROLLMENT', 'DEVICE', 'FLEET', 'STATE', 'BY', 'CSR SHA-256', 'SINCE', 'REASON'],
            items.map((each) => [
              each.id,
              each.deviceId,
              each.fleet,
              each.state,
              each.source,
              each.csrHash,
              each.createdAt,
              each.reason,
            ]),
          ),
        );
      }),
    );
  const acts = [
    ['approve', 'let a device have its certificate, the next time it asks'],
    ['deny', 'refuse a device; the use of its token or claim is given back'],
  ] as const;
  for (const [act, meaning] of acts) {
    verb(enrollments.command(`${act} <enrollment...>`), `enrollments ${act} 3kfa8Yb`)
      .description(meaning)
      .option('--reason <text>', 'why, for the audit and the device')
      .action((ids: string[], flags: NounFlags & { reason?: string }) =>
        withRegistry(flags, async (api, output) => {
          const decided: Enrollment[] = [];
          for (const id of ids) {
            const path = `/v1/enrollments/${encodeURIComponent(id)}/${act}`;
            decided.push(await api.call<Enrollment>('POST', path, { reason: flags.reason }));
          }
          output.answer(ids.length === 1 ? decided[0] : decided, () =>
            decided.map(({ deviceId, state }) => `The enrollment of ${deviceId} is ${state}.`),
          );
        }),
      );
  }
}
