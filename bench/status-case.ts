/** What the status of certificates costs: OCSP answers, kept and signed anew, and the CRL of a million certificates. */
import { X509Certificate } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import Database from 'better-sqlite3';
import { Pool } from 'undici';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { CertificateStatuses } from '../registry/authority/certificate-status.ts';
import { OcspResponder } from '../registry/authority/ocsp-responder.ts';
import { buildCrl } from '../registry/ca/crl-build.ts';
import { issuerIdentityOf } from '../registry/ca/issuer-identity.ts';
import { OcspDelegate } from '../registry/ca/ocsp-delegate.ts';
import { Store } from '../registry/store/store.ts';
import { ocspRequest } from '../test/harness/ocsp-client.ts';
import { makeTestIssuer, type TestIssuer } from '../test/harness/test-issuer.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';

const certificates = 1_000_000;
const revokedEvery = 20;
const clock = systemClock;
const day = 86_400_000;

const figure = (what: string, unit: string, ours: number, target: number | null = null): Figure => ({
  what,
  unit,
  ours,
  peer: null,
  target,
});
/** Spread over the index, as random serial numbers are. */
const serialOf = (n: number): string =>
  `4a${((n * 2_654_435_761) % 4_294_967_296).toString(16).padStart(38, '0')}`;

export async function status(bench: Bench): Promise<Figure[]> {
  const path = await fill(join(bench.dir, 'statuses'));
  const issuer = await makeTestIssuer('P-256');
  return [...(await answers(path, issuer)), ...(await overHttp(bench)), ...(await lists(path, issuer))];
}

async function fill(dir: string): Promise<string> {
  mkdirSync(dir);
  const store = Store.open(dir);
  const { path } = store;
  await store[Symbol.asyncDispose]();
  const db = new Database(path);
  db.pragma('synchronous = OFF');
  const insert = db.prepare(
    `INSERT INTO certificates (issuer, serial, device, fleet, state, key_hash, profile, plan, source, not_before_ms,
       not_after_ms, reserved_ms, revoked_ms, reason)
     VALUES ('issuing', ?, 'd', 'plant', ?, '', 'device', '{}', 'system', 0, 9000000000000, 0, ?, ?)`,
  );
  db.transaction(() => {
    for (let n = 0; n < certificates; n++) {
      const gone = n % revokedEvery === 0;
      const row = gone ? ['revoked', clock.now() - n * 1000, 'keyCompromise'] : ['issued', null, null];
      insert.run(serialOf(n), ...row);
    }
  })();
  db.close();
  return path;
}

/** Microseconds of an answer, the middle one of many. */
function middle(times: number, ask: (n: number) => void): number {
  const taken: number[] = [];
  for (let n = 0; n < times; n++) {
    const before = performance.now();
    ask(n);
    taken.push((performance.now() - before) * 1000);
  }
  return taken.sort((a, b) => a - b)[times >> 1]!;
}

async function answers(path: string, issuer: TestIssuer): Promise<Figure[]> {
  using statuses = CertificateStatuses.open(path);
  using delegate = await OcspDelegate.open({
    issuer: issuer.identity,
    issuerNotAfterMs: issuer.notAfterMs,
    signer: issuer.signer,
    record: async () => {},
    lifetimeMs: 30 * day,
    clock,
    log: silentLog,
  });
  let commits = 0;
  const responder = new OcspResponder({
    issuers: () => [{ name: 'issuing', identity: issuer.identity, signer: delegate.current }],
    statusOf: (name, serial) => statuses.of(name, serial),
    commits: () => commits,
    lifetimeMs: 3_600_000,
    clock,
    log: silentLog,
  });
  const request = (n: number, nonce?: Uint8Array) =>
    ocspRequest(issuer.identity, [serialOf(n)], nonce && { nonce });
  const times = 10_000;
  const requests = Array.from({ length: times }, (_, n) => request(n * 97));
  const noncePerAsk = requests.slice(0, 1000).map((_, n) => request(n * 97, Buffer.alloc(16, n)));
  const answer = (n: number) => {
    if (!responder.answer(requests[n]!).keep) throw new Error('there was no answer');
  };
  const signed = middle(times, answer);
  const kept = middle(times, answer);
  const checked = middle(times, (n) => {
    commits += 1;
    answer(n);
  });
  const nonce = middle(1000, (n) => responder.answer(noncePerAsk[n]!));
  return [
    figure('OCSP answer that is kept, request in to DER out, p50', 'µs', kept),
    figure('the same after another commit, status among 1,000,000 looked up again, p50', 'µs', checked),
    figure('OCSP answer looked up and signed, p50', 'µs', signed),
    figure('the same with a nonce, p50', 'µs', nonce),
  ];
}

/** Against the house itself, with as many connections as keep it busy. */
async function overHttp({ fleetgate, identities }: Bench): Promise<Figure[]> {
  const [leaf = '', issuer = ''] = identities[0]!.certificate.split(/(?<=-----END CERTIFICATE-----\n)/);
  const identity = issuerIdentityOf(new X509Certificate(issuer).raw);
  const body = ocspRequest(identity, [new X509Certificate(leaf).serialNumber]);
  const pool = new Pool(fleetgate.pki, { connections: 16 });
  const ask = async () => {
    const answer = await pool.request({ method: 'POST', path: '/ocsp', body });
    if ((await answer.body.arrayBuffer()).byteLength < 300) throw new Error('there was no answer');
  };
  const times = 20_000;
  const work = async (count: number) => {
    for (let n = 0; n < count; n++) await ask();
  };
  await Promise.all(Array.from({ length: 16 }, () => work(200)));
  const [cpuBefore, before] = [cpuUs(fleetgate.pid), performance.now()];
  await Promise.all(Array.from({ length: 16 }, () => work(times / 16)));
  const seconds = (performance.now() - before) / 1000;
  const cpu = (cpuUs(fleetgate.pid) - cpuBefore) / times;
  await pool.destroy();
  return [
    figure('OCSP answers a second over HTTP POST, kept', '/s', times / seconds),
    figure('CPU of an OCSP answer over HTTP POST, kept', 'µs', cpu),
  ];
}

async function lists(path: string, issuer: TestIssuer): Promise<Figure[]> {
  const nowMs = Math.floor(clock.now() / 1000) * 1000;
  const contents = {
    issuerName: issuer.identity.name,
    authorityKeyId: issuer.identity.keyId,
    number: 1n,
    thisUpdateMs: nowMs,
    nextUpdateMs: nowMs + day,
    algorithm: issuer.signer.algorithm.der,
  };
  const taken: number[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let round = 0; round < 5; round++) {
    const before = performance.now();
    const never = new AbortController().signal;
    const { entries } = await buildCrl(
      { path, issuer: 'issuing', contents, notAfterMs: nowMs },
      issuer.signer,
      never,
    );
    taken.push(performance.now() - before);
    if (entries !== certificates / revokedEvery) throw new Error('the list is not whole');
  }
  delay.disable();
  return [
    figure('CRL of 1,000,000 certificates, 50,000 revoked, longest of five', 'ms', Math.max(...taken), 1000),
    figure('longest stall of the event loop meanwhile', 'ms', delay.max / 1e6),
  ];
}
