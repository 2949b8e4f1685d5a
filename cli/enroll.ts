/** `fleetgate enroll`: makes a key, sends the CSR, writes what a device needs. One device, or many at once. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Fault } from '#common/fault.ts';
import { makeCsr } from '#common/x509/csr.ts';
import { type NounFlags, verb } from './noun.ts';
import { openOutput } from './output.ts';
import { openProgress } from './progress.ts';
import { openRegistryApi, type RegistryApi } from './registry-api.ts';
import { whereabouts } from './where.ts';

interface EnrollFlags extends NounFlags {
  device?: string;
  token?: string;
  out: string;
  count?: string;
  prefix?: string;
}

interface Enrolled {
  certificate: string;
  chain: string;
  ca: string;
  fingerprint: string;
  notAfter: string;
}

const parallel = 16;

export function enrollCommand(program: Command): void {
  verb(program.command('enroll'), 'enroll --device pump-1 --token fge_… --out ./pump-1')
    .description('enroll a device, or many: key, certificate and CA bundle into a folder')
    .option('--device <id>', 'the device')
    .option('--token <token>', 'enrollment token')
    .option('--out <dir>', 'where the files go', '.')
    .option('--count <n>', 'enroll so many, named PREFIX-1 and so on')
    .option('--prefix <p>', 'beginning of their ids', 'device')
    .action(async (flags: EnrollFlags) => {
      const { registry, ca } = whereabouts(flags);
      if (!registry || !ca)
        throw new Fault('not-found', 'No registry is known here; name one with --registry URL --ca FILE.');
      if (!flags.token)
        throw new Fault(
          'unauthenticated',
          'An enrollment token is needed: fleetgate tokens create FLEET, then --token.',
        );
      const ids = flags.count
        ? Array.from({ length: Number(flags.count) }, (_, n) => `${flags.prefix}-${n + 1}`)
        : [flags.device ?? ''];
      if (ids.includes(''))
        throw new Fault('malformed', 'Name the device with --device, or many with --count and --prefix.');
      await using api = openRegistryApi(
        { url: registry, ca: readFileSync(ca, 'utf8'), token: flags.token },
        parallel,
      );
      mkdirSync(flags.out, { recursive: true });
      await enrollAll(api, ids, flags);
    });
}

async function enrollAll(api: RegistryApi, ids: readonly string[], flags: EnrollFlags): Promise<void> {
  const output = openOutput(flags.json === true);
  const progress = openProgress(`enrolling ${ids.length} devices`, ids.length, !flags.json && ids.length > 1);
  const results: { device: string; fingerprint?: string; notAfter?: string; error?: string }[] = [];
  let next = 0;
  const work = async () => {
    while (next < ids.length) {
      const device = ids[next++]!;
      try {
        const { fingerprint, notAfter } = await enrollOne(api, device, flags.out);
        results.push({ device, fingerprint, notAfter });
      } catch (thrown) {
        if (ids.length === 1) throw thrown;
        results.push({ device, error: Fault.of(thrown).message });
      }
      progress.tick();
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, ids.length) }, work));
  progress.end();
  const failed = results.filter(({ error }) => error !== undefined);
  output.answer(ids.length === 1 ? results[0] : results, () =>
    ids.length === 1
      ? [
          `${ids[0]} is enrolled until ${results[0]?.notAfter}: ${flags.out}/${ids[0]}.key, ${ids[0]}.crt and ca.crt`,
        ]
      : [
          `${results.length - failed.length} of ${ids.length} enrolled into ${flags.out}`,
          ...failed.map(({ device, error }) => `  ${device}: ${error}`),
        ],
  );
  if (failed.length > 0) process.exitCode = 1;
}

async function enrollOne(api: RegistryApi, deviceId: string, out: string): Promise<Enrolled> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, deviceId);
  // The key is on disk before there is a certificate for it.
  writeFileSync(join(out, `${deviceId}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }), {
    mode: 0o600,
  });
  const enrolled = await api.call<Enrolled>('POST', '/v1/enroll', { deviceId, csr });
  writeFileSync(join(out, `${deviceId}.crt`), enrolled.certificate + enrolled.chain);
  writeFileSync(join(out, 'ca.crt'), enrolled.ca);
  return enrolled;
}
