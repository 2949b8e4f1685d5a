/** `fleetgate enroll`: makes a key, sends the CSR, writes what a device needs. One device, or many at once. */
import { hash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';
import { DeviceFolder } from './device-folder.ts';
import { readManifest } from './manifest.ts';
import { asked, type NounFlags, verb } from './noun.ts';
import { openOutput } from './output.ts';
import { openProgress } from './progress.ts';
import { openRegistryApi, type RegistryApi } from './registry-api.ts';
import { type RegistryAccess, whereabouts } from './where.ts';

interface EnrollFlags extends NounFlags {
  device?: string;
  token?: string;
  claim?: string;
  out: string;
  count?: string;
  prefix?: string;
  manifest?: string;
  wait?: string;
}

interface Newcomer {
  readonly id: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

interface Enrolled {
  certificate: string;
  chain: string;
  ca: string;
  fingerprint: string;
  notAfter: string;
}

interface Result {
  device: string;
  fingerprint?: string;
  notAfter?: string;
  /** Its certificate is in the folder already. */
  skipped?: true;
  error?: string;
}

const parallel = 16;

export function enrollCommand(program: Command): void {
  verb(program.command('enroll'), 'enroll --device pump-1 --token fge_… --out ./pump-1')
    .description('enroll a device, or many: key, certificate and CA bundle into a folder')
    .option('--device <id>', 'the device')
    .option('--token <token>', 'enrollment token')
    .option('--claim <dir>', 'folder of a claim certificate, in place of the token')
    .option('--out <dir>', 'where the files go', '.')
    .option(
      '--count <n>',
      'enroll so many, named PREFIX-1 and so on; those that are in the folder are skipped',
    )
    .option('--prefix <p>', 'beginning of their ids', 'device')
    .option('--manifest <file>', 'enroll those of a CSV or NDJSON file, with their attributes')
    .option('--wait <duration>', 'how long to wait for an operator to approve')
    .action(async (flags: EnrollFlags) => {
      const waitMs = flags.wait === undefined ? 0 : asked(() => parseDuration(flags.wait!));
      const access = accessOf(flags);
      const newcomers = await newcomersOf(flags);
      await using api = openRegistryApi(access, parallel);
      mkdirSync(flags.out, { recursive: true });
      await enrollAll(api, newcomers, flags, systemClock.elapsed() + waitMs);
    });
}

function accessOf({ claim, token, ...flags }: EnrollFlags): RegistryAccess {
  const { registry, ca = claim && join(claim, 'ca.crt') } = whereabouts(flags);
  if (!registry || !ca)
    throw new Fault('not-found', 'No registry is known here; name one with --registry URL --ca FILE.');
  const trust = readFileSync(ca, 'utf8');
  if (claim !== undefined) {
    const read = (name: string) => readFileSync(join(claim, name), 'utf8');
    return {
      url: registry,
      ca: trust,
      token: null,
      identity: { cert: read('claim.crt'), key: read('claim.key') },
    };
  }
  if (token !== undefined) return { url: registry, ca: trust, token };
  throw new Fault(
    'unauthenticated',
    'An enrollment token is needed: fleetgate tokens create FLEET, then --token; or a claim: fleetgate claims create FLEET, then --claim.',
  );
}

async function newcomersOf({ manifest, count, prefix, device }: EnrollFlags): Promise<Newcomer[]> {
  if (manifest !== undefined) {
    const newcomers: Newcomer[] = [];
    for await (const row of readManifest(manifest)) {
      if ('fault' in row) throw new Fault('malformed', `${manifest}, line ${row.line}: ${row.fault.message}`);
      newcomers.push(row.device);
    }
    return newcomers;
  }
  if (count !== undefined)
    return Array.from({ length: Number(count) }, (_, n) => ({ id: `${prefix}-${n + 1}` }));
  if (device !== undefined) return [{ id: device }];
  throw new Fault(
    'malformed',
    'Name the device with --device, or many with --count and --prefix, or --manifest.',
  );
}

async function enrollAll(
  api: RegistryApi,
  newcomers: readonly Newcomer[],
  flags: EnrollFlags,
  untilMs: number,
): Promise<void> {
  const output = openOutput(flags.json === true);
  const isOne = flags.device !== undefined && !flags.count && !flags.manifest;
  const total = newcomers.length;
  const progress = openProgress(`enrolling ${total} devices`, total, !flags.json && !isOne);
  const results: Result[] = [];
  let next = 0;
  const work = async () => {
    while (next < newcomers.length) {
      const newcomer = newcomers[next++]!;
      try {
        results.push(await enrollOne(api, newcomer, flags.out, { isResumed: !isOne, untilMs }));
      } catch (thrown) {
        if (isOne) throw thrown;
        results.push({ device: newcomer.id, error: Fault.of(thrown).message });
      }
      progress.tick();
    }
  };
  await Promise.all(Array.from({ length: Math.min(parallel, total) }, work));
  progress.end();
  const failed = results.filter(({ error }) => error !== undefined);
  const skipped = results.filter((result) => result.skipped).length;
  output.answer(isOne ? results[0] : results, () =>
    isOne
      ? [
          `${flags.device} is enrolled until ${results[0]?.notAfter}: ${flags.out}/${flags.device}.key, ${flags.device}.crt and ca.crt`,
        ]
      : [
          `${results.length - failed.length - skipped} of ${total} enrolled into ${flags.out}${skipped > 0 ? `, ${skipped} were there already` : ''}`,
          ...failed.map(({ device, error }) => `  ${device}: ${error}`),
        ],
  );
  if (failed.length > 0) process.exitCode = 1;
}

async function enrollOne(
  api: RegistryApi,
  { id, attributes }: Newcomer,
  out: string,
  { isResumed, untilMs }: { isResumed: boolean; untilMs: number },
): Promise<Result> {
  const folder = new DeviceFolder(out, id);
  if (isResumed && existsSync(folder.certificatePath)) return { device: id, skipped: true };
  const csr = await folder.request();
  const body = { deviceId: id, csr, attributes };
  // An answer that was lost is answered again.
  const key = hash('sha256', csr, 'hex');
  for (;;) {
    try {
      const enrolled = await api.call<Enrolled>('POST', '/v1/enroll', body, undefined, key);
      folder.keep(enrolled);
      return { device: id, fingerprint: enrolled.fingerprint, notAfter: enrolled.notAfter };
    } catch (thrown) {
      const { kind, retryAfterMs = 0 } = Fault.of(thrown);
      if (kind === 'approval-denied' || kind.startsWith('csr-')) folder.forget();
      if (kind !== 'approval-pending' || systemClock.elapsed() + retryAfterMs > untilMs) throw thrown;
      await systemClock.sleep(retryAfterMs);
    }
  }
}
