/** The identities of a simulated fleet: enrolled through the API with a key and CSR each, kept in a folder, used again. */
import { generateKeyPair } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from '#common/fault.ts';
import { makeCsr } from '#common/x509/csr.ts';
import type { Identity } from './plan.ts';

/** The registry's API, as far as it is needed here. */
export interface EnrollmentApi {
  call<Answer>(method: 'GET' | 'POST', path: string, body?: unknown, token?: string): Promise<Answer>;
}

export interface IdentityOptions {
  api: EnrollmentApi;
  /** Folder they are kept in; made when it is not there. */
  dir: string;
  fleet: string;
  count: number;
  /** Called for each that had to be enrolled. */
  onEnrolled: (done: number, of: number) => void;
}

interface Enrolled {
  certificate: string;
  chain: string;
  ca: string;
}

const parallel = 16;
const makeKeyPair = promisify(generateKeyPair);
const nameOf = (index: number): string => `sim-${String(index + 1).padStart(6, '0')}`;

/** As many as asked for, in the order of their names. Faults as the registry answers. */
export async function openIdentities({
  api,
  dir,
  fleet,
  count,
  onEnrolled,
}: IdentityOptions): Promise<Identity[]> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, 'identities.ndjson');
  const known = new Map<string, Identity>();
  if (existsSync(file)) {
    for (const line of readFileSync(file, 'utf8').split('\n').slice(0, -1)) {
      const identity = JSON.parse(line) as Identity;
      known.set(identity.id, identity);
    }
  }
  const names = Array.from({ length: count }, (_, index) => nameOf(index));
  const missing = names.filter((name) => !known.has(name));
  if (missing.length > 0) {
    const token = await tokenFor(api, fleet, missing.length);
    let next = 0;
    let done = 0;
    const work = async () => {
      while (next < missing.length) {
        const identity = await enroll(api, missing[next++]!, token);
        // One line each, as soon as there is one: an interrupted run goes on where it was.
        appendFileSync(file, `${JSON.stringify(identity)}\n`, { mode: 0o600 });
        known.set(identity.id, identity);
        onEnrolled(++done, missing.length);
      }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, missing.length) }, work));
  }
  return names.map((name) => known.get(name)!);
}

async function tokenFor(api: EnrollmentApi, fleet: string, uses: number): Promise<string> {
  await api.call('POST', '/v1/fleets', { id: fleet }).catch((thrown) => {
    if (Fault.of(thrown).kind !== 'conflict') throw thrown;
  });
  return (await api.call<{ token: string }>('POST', `/v1/fleets/${fleet}/tokens`, { uses, ttl: '1d' })).token;
}

async function enroll(api: EnrollmentApi, id: string, token: string): Promise<Identity> {
  const { privateKey } = await makeKeyPair('ec', { namedCurve: 'P-256' });
  const csr = await makeCsr(privateKey, id);
  const { certificate, chain, ca } = await api.call<Enrolled>(
    'POST',
    '/v1/enroll',
    { deviceId: id, csr },
    token,
  );
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { id, key, certificate: certificate + chain, ca };
}
