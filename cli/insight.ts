/** `fleetgate status` and `doctor`: what happened, and whether all is well. */
import { existsSync, statSync } from 'node:fs';
import type { Command } from 'commander';
import { parseTimestamp, systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { caCertificates } from './ca.ts';
import { type NounFlags, verb, withRegistry } from './noun.ts';
import { facts, openOutput, paint } from './output.ts';
import { whereabouts } from './where.ts';

interface StatusReport {
  verdict: string;
  healthy: boolean;
  devices: Record<string, number>;
  certificates: Record<string, number>;
  gateways: string[];
}

export function insightCommands(program: Command): void {
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
