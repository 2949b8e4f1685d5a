/** `fleetgate explain`, `audit`, `status` and `doctor`: what happened, and whether all is well. */
import { existsSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { parseTimestamp, systemClock } from '#common/clock.ts';
import type { Decision } from '#common/contract/decision.ts';
import { Fault } from '#common/fault.ts';
import { caCertificates } from './ca.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, openOutput, paint } from './output.ts';
import type { RegistryApi } from './registry-api.ts';
import { suspicionLines } from './suspicion.ts';
import { whereabouts } from './where.ts';

interface StatusReport {
  verdict: string;
  healthy: boolean;
  devices: Record<string, number>;
  certificates: Record<string, number>;
  gateways: string[];
}

function decisionLines({
  time,
  protocol,
  address,
  gateway,
  clientId,
  admitted,
  reason,
  checks,
}: Decision): string[] {
  const verdict = admitted ? paint('green', 'admitted') : paint('red', `refused: ${reason}`);
  return [
    `${time}  ${verdict}  ${protocol} from ${address} on ${gateway}${clientId === null ? '' : `, client id ${clientId}`}`,
    ...checks.map(
      ({ name, passed, detail }) =>
        `    ${passed ? paint('green', '✓') : paint('red', '✗')} ${name}: ${detail}`,
    ),
  ];
}

export function insightCommands(program: Command): void {
  verb(program.command('explain <device>'), 'explain pump-1')
    .description('why a device was let in or refused, check by check')
    .option('--limit <n>', 'so many decisions', '5')
    .action((device: string, flags: NounFlags & { limit: string }) =>
      withRegistry(flags, async (api, output) => {
        const path = `/v1/devices/${encodeURIComponent(device)}/decisions?limit=${Number(flags.limit)}`;
        const { items } = await api.call<{ items: Decision[] }>('GET', path);
        const nothing = `No gateway remembers ${device} at its door. A certificate that nobody knows is not tied to a device: see GET /v1/decisions?reason=unknown-certificate.`;
        const suspicion = flags.json ? [] : await suspicionOf(api, device);
        output.answer(items, () => [
          ...suspicion,
          ...(items.length === 0 ? [nothing] : items.flatMap(decisionLines)),
        ]);
      }),
    );

  verb(program.command('status'), 'status')
    .description('how things stand')
    .action((flags: NounFlags) =>
      withRegistry(flags, async (api, output) => {
        const status = await api.call<StatusReport>('GET', '/v1/status');
        const count = (of: Record<string, number>) =>
          Object.entries(of)
            .map(([state, n]) => `${n} ${state}`)
            .join(', ') || 'none';
        output.answer(status, () => [
          paint(status.healthy ? 'green' : 'yellow', status.verdict),
          ...facts([
            ['devices', count(status.devices)],
            ['certificates', count(status.certificates)],
            ['gateways', status.gateways.join(', ')],
          ]),
        ]);
      }),
    );

  verb(program.command('doctor'), 'doctor')
    .description('look for what is wrong on this machine')
    .action((flags: NounFlags) => doctor(flags));
}

/** Nothing for a device that is not known, or any more. */
async function suspicionOf(api: RegistryApi, device: string): Promise<string[]> {
  try {
    return suspicionLines(await api.call('GET', `/v1/devices/${encodeURIComponent(device)}`));
  } catch (thrown) {
    if (Fault.of(thrown).kind === 'not-found') return [];
    throw thrown;
  }
}

async function doctor(flags: NounFlags): Promise<void> {
  const where = whereabouts(flags);
  const findings: { what: string; well: boolean; detail: string }[] = [];
  const look = async (what: string, see: () => string | Promise<string>) => {
    try {
      findings.push({ what, well: true, detail: await see() });
    } catch (thrown) {
      const fault = Fault.of(thrown);
      findings.push({
        what,
        well: false,
        detail: fault.kind === 'internal' ? String((fault.cause as Error).message) : fault.message,
      });
    }
  };
  await look('runtime', () => {
    if (Number(process.versions.node.split('.')[0]) < 24)
      throw new Fault('unavailable', `Node ${process.versions.node} is too old`);
    return `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`;
  });
  await look('data folder', () => {
    const dir = flags.data ?? './data';
    if (!existsSync(dir)) throw new Fault('not-found', `${dir} does not exist; "fleetgate up" makes it`);
    if (statSync(dir).mode & 0o077)
      throw new Fault('forbidden', `${dir} can be read by others; chmod 700 ${dir}`);
    return `${dir}, for its owner only`;
  });
  await look('certificate authority', () => {
    const first = Math.min(...caCertificates(flags).map(({ validTo }) => parseTimestamp(validTo)));
    const days = Math.floor((first - systemClock.now()) / 86_400_000);
    if (days < 90) throw new Fault('certificate-expired', `a CA certificate ends in ${days} days`);
    return `good for ${days} days more`;
  });
  await look('registry', async () => {
    let verdict = '';
    await withRegistry(flags, async (api) => {
      verdict = (await api.call<StatusReport>('GET', '/v1/status')).verdict;
    });
    return `${where.registry}: ${verdict}`;
  });
  if (where.ops) {
    await look('gateway', async () => {
      const response = await fetch(`${where.ops}/readyz`);
      if (!response.ok) throw new Fault('unavailable', await response.text());
      return `${where.ops} is ready`;
    });
  }
  openOutput(flags.json === true).answer(findings, () =>
    findings.map(
      ({ what, well, detail }) => `${well ? paint('green', '✓') : paint('red', '✗')} ${what}: ${detail}`,
    ),
  );
  if (findings.some(({ well }) => !well)) process.exitCode = 1;
}
