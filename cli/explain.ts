/** `fleetgate explain`: why a device was let in or refused. The verdict first, then the checks, then what to do. */
import type { Command } from 'commander';
import type { Decision, DecisionCheck, Leaf, Outlook } from '#common/contract/decision.ts';
import { Fault } from '#common/fault.ts';
import { asked, type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, paint, table } from './output.ts';
import { suspicionOf } from './suspicion.ts';

interface Answer {
  verdict: string;
  advice: string | null;
  items: Decision[];
  /** Of a device. */
  outlook?: Outlook[];
}

interface ExplainFlags extends NounFlags {
  address?: string;
  fingerprint?: string;
  serial?: string;
  reason?: string;
  limit: string;
}

export function explainCommand(program: Command): void {
  verb(program.command('explain [device]'), 'explain pump-1\n  fleetgate explain --address 192.0.2.7')
    .description('why a device was let in or refused, check by check; or an attempt that matched no device')
    .option('--address <address>', 'attempts from there')
    .option('--fingerprint <sha256>', 'attempts with this certificate')
    .option('--serial <hex>', 'attempts with a certificate of this serial number')
    .option('--reason <kind>', 'attempts refused for this, such as handshake-failed')
    .option('--limit <n>', 'so many decisions', '5')
    .action((device: string | undefined, flags: ExplainFlags) => explain(device, flags));
}

async function explain(device: string | undefined, flags: ExplainFlags): Promise<void> {
  const path = asked(() => pathOf(device, flags));
  await withRegistry(flags, async (api, output) => {
    const answer = await api.call<Answer>('GET', path);
    const suspicion = device === undefined || flags.json ? [] : await suspicionOf(api, device);
    output.answer(answer, () => [...suspicion, ...linesOf(answer)]);
  });
}

function pathOf(device: string | undefined, flags: ExplainFlags): string {
  const { address, fingerprint, serial, reason, limit } = flags;
  const filters = Object.entries({ address, fingerprint, serial, reason }).filter(
    (each): each is [string, string] => each[1] !== undefined,
  );
  if (device === undefined && filters.length === 0)
    throw new Fault(
      'malformed',
      'Name a device, or filter by --address, --fingerprint, --serial or --reason.',
    );
  if (!/^[1-9]\d{0,3}$/.test(limit)) throw new Fault('malformed', '--limit is a number from 1 to 1000.');
  const query = new URLSearchParams([...filters, ['limit', limit]]);
  const noun = device === undefined ? '/v1/decisions' : `/v1/devices/${encodeURIComponent(device)}/decisions`;
  return `${noun}?${query}`;
}

function linesOf({ verdict, advice, items, outlook = [] }: Answer): string[] {
  const isWell = items.length > 0 ? items[0]!.admitted : outlook.some(({ admitted }) => admitted);
  return [
    paint(isWell ? 'green' : 'yellow', verdict),
    ...items.flatMap((decision) => ['', ...decisionLines(decision)]),
    // Of one that came, the checks say it; of one that never came, what they would say.
    ...(items.length > 0 ? [] : outlook.flatMap((each) => ['', ...outlookLines(each)])),
    ...(advice === null ? [] : ['', `${paint('bold', 'What to do:')} ${advice}`]),
  ];
}

function decisionLines(decision: Decision): string[] {
  const { time, protocol, address, gateway, clientId, admitted, reason, count, checks } = decision;
  const verdict = admitted ? paint('green', 'admitted') : paint('red', `refused: ${reason}`);
  const many = count > 1 ? `, ${count} times` : '';
  const client = clientId === null ? '' : `, client id ${JSON.stringify(clientId)}`;
  return [
    `${time}  ${verdict}  ${protocol} from ${address} on ${gateway}${client}${many}`,
    ...checkLines(checks),
    ...leafLines(decision),
  ];
}

function outlookLines({ gateway, serialNumber, admitted, reason, checks }: Outlook): string[] {
  const verdict = admitted
    ? paint('green', 'would be admitted')
    : paint('red', `would be refused: ${reason}`);
  return [`now  ${verdict}  with certificate ${serialNumber} on ${gateway}`, ...checkLines(checks)];
}

const checkLines = (checks: readonly DecisionCheck[]): string[] =>
  table(
    ['', 'check', 'seen'],
    checks.map(({ name, passed, detail }) => [passed ? '✓' : '✗', name, detail]),
  ).map((line) => `    ${line}`);

function leafLines({ leaf, leafProblem, fingerprint }: Decision): string[] {
  if (leaf === null) return leafProblem === null ? [] : [`    certificate: ${leafProblem}`];
  const { subject, issuer, serialNumber, notBefore, notAfter, names }: Leaf = leaf;
  return facts([
    ['certificate of', subject],
    ['issued by', issuer],
    ['serial', serialNumber],
    ['valid', `${notBefore} to ${notAfter}`],
    ['names', names.join(', ') || 'none'],
    ['fingerprint', fingerprint],
  ]).map((line) => `    ${line}`);
}
