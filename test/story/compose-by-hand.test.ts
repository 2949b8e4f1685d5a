/** No container engine is needed to see that what docker-compose.yml starts works: its own commands, by hand. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { eventually } from '../harness/eventually.ts';
import { command, type Doors, end, startCommand } from '../harness/house.ts';

const { services } = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as {
  services: Record<string, { command: string[]; environment?: NodeJS.ProcessEnv }>;
};
const ports = (...doors: string[]) => doors.flatMap((door) => [`--${door}-port`, '0']);

test('registry, handover, gateway and simulator work together, and both servers say that they are ready', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'compose-'));
  const at = (...names: string[]) => join(dir, ...names);
  const stop: (() => Promise<unknown>)[] = [];
  try {
    const registry = await startCommand<Doors>(
      [...services.registry!.command, '--data', at('registry'), ...ports('registry', 'pki', 'ops')],
      services.registry!.environment,
    );
    stop.unshift(() => end(registry.child, 'SIGTERM'));
    expect((await fetch(`${registry.doors.ops}/readyz`)).status).toBe(200);

    mkdirSync(at('handover'));
    for (const file of services.handover!.command.slice(0, -1)) {
      const name = file.replace('/registry/', '');
      copyFileSync(at('registry', name), at('handover', name.split('/').at(-1)!));
    }
    const local = (words: string[], gateway?: Doors) =>
      words.map((word) =>
        word
          .replace('https://registry:9443', registry.doors.registry)
          .replace('mqtts://gateway:8883', gateway?.mqtts ?? '')
          .replace('https://gateway:8443', gateway?.https ?? '')
          .replace('/handover/', `${at('handover')}/`)
          .replace('/data/', `${at('simulator')}/`),
      );
    const gateway = await startCommand<Doors>(
      [...local(services.gateway!.command), '--data', at('gateway'), ...ports('mqtts', 'https', 'ops')],
      services.gateway!.environment,
    );
    stop.unshift(() => end(gateway.child, 'SIGTERM'));
    await eventually(async () => expect((await fetch(`${gateway.doors.ops}/readyz`)).status).toBe(200));

    const flags = local(services.simulator!.command, gateway.doors).map((flag) =>
      flag.replace(/^--devices=.*/, '--devices=20').replace(/^--duration=.*/, '--duration=2s'),
    );
    const said = execFileSync(process.execPath, [command, 'simulate', ...flags, '--json'], {
      encoding: 'utf8',
    });
    expect(JSON.parse(said)).toMatchObject({
      verdict: expect.stringMatching(/^\d+ messages sent, \d+ acknowledged\.$/),
    });
    const metrics = await (await fetch(`${registry.doors.ops}/metrics`)).text();
    expect(metrics).toMatch(/fleetgate_enrollments_total\{result="issued",reason="none"\} 20/);
  } finally {
    for (const each of stop) await each();
    rmSync(dir, { recursive: true, force: true });
  }
});
