/** CRLs and OCSP answers of every issuer key type, judged by OpenSSL and GnuTLS. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { OcspResponder } from '../../registry/authority/ocsp-responder.ts';
import { assembleCrl, buildTbsCrl } from '../../registry/ca/crl.ts';
import { OcspDelegate } from '../../registry/ca/ocsp-delegate.ts';
import type { CertStatus } from '../../registry/ca/ocsp-response.ts';
import { type Ran, run, withPrograms } from '../harness/peer-program.ts';
import { keyTypes, makeTestIssuer, type TestIssuer } from '../harness/test-issuer.ts';

const dir = await mkdtemp(join(tmpdir(), 'status-'));
afterAll(() => rm(dir, { recursive: true }));
const hour = 3_600_000;
const nowMs = Math.floor(Date.now() / 1000) * 1000;
const serials = { good: '4a01', revoked: '4a02', held: '4a03', unknown: '4a04' };
const statuses: Record<string, CertStatus> = {
  [serials.good]: { kind: 'good' },
  [serials.revoked]: { kind: 'revoked', atMs: nowMs - hour, reason: 'keyCompromise' },
  [serials.held]: { kind: 'revoked', atMs: nowMs - hour, reason: 'certificateHold' },
};

async function writeCrl(
  issuer: TestIssuer,
  file: string,
  nextUpdateMs = nowMs + hour,
  count = 0,
): Promise<void> {
  const revoked = [
    { serial: serials.revoked, revokedMs: nowMs - hour, reason: 'keyCompromise' },
    { serial: serials.held, revokedMs: nowMs - hour, reason: 'certificateHold' },
    ...Array.from({ length: count }, (_, at) => ({
      serial: `60${at.toString(16).padStart(38, '0')}`,
      revokedMs: nowMs - at * 1000,
      reason: 'superseded',
    })),
  ];
  const algorithm = issuer.signer.algorithm.der;
  const tbs = buildTbsCrl(
    {
      issuerName: issuer.identity.name,
      authorityKeyId: issuer.identity.keyId,
      number: 17n,
      thisUpdateMs: nowMs - 2 * hour,
      nextUpdateMs,
      algorithm,
    },
    revoked,
  );
  await writeFile(join(dir, file), assembleCrl(tbs, algorithm, await issuer.signer.sign(tbs)));
}

const issuers = new Map<string, TestIssuer>();
beforeAll(async () => {
  for (const type of keyTypes) {
    const issuer = await makeTestIssuer(type);
    issuers.set(type, issuer);
    await writeFile(join(dir, `${type}.pem`), issuer.pem);
    for (const [name, serial] of Object.entries(serials))
      await writeFile(join(dir, `${type}-${name}.pem`), await issuer.leaf(serial));
    await writeCrl(issuer, `${type}.crl`);
  }
});

withPrograms(['openssl'], 'OpenSSL reads the CRL', () => {
  test.each(keyTypes)('of %s: its text, its signature, and verify -crl_check by it', async (type) => {
    const text = await run(`openssl crl -inform DER -in ${type}.crl -noout -text -nameopt utf8`, dir);
    expect(text).toMatchObject({ code: 0 });
    expect(text.stdout).toContain('Version 2 (0x1)');
    expect(text.stdout).toContain(`CN=Issuer ${type}, O=Zürich & Söhne`);
    expect(text.stdout).toMatch(/X509v3 CRL Number: \n\s+17\n/);
    expect(text.stdout).toContain('X509v3 Authority Key Identifier');
    expect(text.stdout).toMatch(
      /Serial Number: 4A02[\s\S]*Key Compromise[\s\S]*Serial Number: 4A03[\s\S]*Certificate Hold/,
    );
    const signature = await run(
      `openssl crl -inform DER -in ${type}.crl -noout -CAfile ${type}.pem -verify`,
      dir,
    );
    expect(signature.stderr).toContain('verify OK');
    const judge = (leaf: string) =>
      run(
        `openssl crl -inform DER -in ${type}.crl -out ${type}.crl.pem
         openssl verify -crl_check -CRLfile ${type}.crl.pem -CAfile ${type}.pem ${type}-${leaf}.pem`,
        dir,
      );
    expect(await judge('good')).toMatchObject({ code: 0 });
    const revoked = await judge('revoked');
    expect(revoked.code).toBe(2);
    expect(revoked.stderr).toContain('certificate revoked');
    expect((await judge('held')).stderr).toContain('certificate revoked');
  });

  test('past its nextUpdate it is not good for anything', async () => {
    await writeCrl(issuers.get('P-256')!, 'old.crl', nowMs - hour);
    const late = await run(
      `openssl crl -inform DER -in old.crl -out old.crl.pem
       openssl verify -crl_check -CRLfile old.crl.pem -CAfile P-256.pem P-256-good.pem`,
      dir,
    );
    expect(late.code).toBe(2);
    expect(late.stderr).toContain('CRL has expired');
  });

  test('of another issuer with the same key type it is not taken', async () => {
    await writeCrl(await makeTestIssuer('P-256', 'Issuer P-256'), 'false.crl');
    const forged = await run(
      `openssl crl -inform DER -in false.crl -out false.crl.pem
       openssl verify -crl_check -CRLfile false.crl.pem -CAfile P-256.pem P-256-revoked.pem`,
      dir,
    );
    expect(forged.code).toBe(2);
    expect(forged.stderr).not.toContain('certificate revoked');
  });

  test('of fifty thousand entries, and every one is there', async () => {
    await writeCrl(issuers.get('P-256')!, 'large.crl', nowMs + hour, 50_000);
    const listed = await run(
      'openssl crl -inform DER -in large.crl -noout -text | grep -c "Serial Number"',
      dir,
    );
    expect(listed.stdout.trim()).toBe('50002');
  });
});

withPrograms(['certtool', 'openssl'], 'GnuTLS reads the CRL', () => {
  test.each(keyTypes)('of %s, and verifies it', async (type) => {
    const text = await run(`certtool --crl-info --inder --infile ${type}.crl`, dir);
    expect(text).toMatchObject({ code: 0 });
    expect(text.stdout).toContain('Version: 2');
    expect(text.stdout).toMatch(/CRL Number[\s\S]*11/);
    expect(text.stdout).toContain('Revoked certificates (2)');
    const verified = await run(
      `openssl x509 -in ${type}.pem -outform DER -out ${type}.cer
       certtool --verify-crl --load-ca-certificate ${type}.cer --inder --infile ${type}.crl`,
      dir,
    );
    expect(verified.stdout).toContain('Verified');
    expect(verified.stdout).not.toContain('Not verified');
  });
});

/** The responder behind the least HTTP that there can be: the doors are tested elsewhere. */
async function serve(issuer: TestIssuer): Promise<{ url: string; server: Server; delegate: OcspDelegate }> {
  const clock = systemClock;
  const delegate = await OcspDelegate.open({
    issuer: issuer.identity,
    issuerNotAfterMs: issuer.notAfterMs,
    signer: issuer.signer,
    record: async () => {},
    lifetimeMs: 24 * hour,
    clock,
    log: silentLog,
  });
  const responder = new OcspResponder({
    issuers: () => [{ name: 'one', identity: issuer.identity, signer: delegate.current }],
    statusOf: (_issuer, serial) => statuses[serial] ?? { kind: 'unknown' },
    commits: () => 0,
    lifetimeMs: hour,
    clock,
    log: silentLog,
  });
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.once('end', () => {
      const { der } = responder.answer(Buffer.concat(parts));
      response.setHeader('content-type', 'application/ocsp-response').end(der);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ocsp`, server, delegate };
}

async function asked(type: string, ask: (url: string) => Promise<Ran>): Promise<Ran> {
  const { url, server, delegate } = await serve(issuers.get(type)!);
  try {
    return await ask(url);
  } finally {
    delegate[Symbol.dispose]();
    server.close();
  }
}

withPrograms(['openssl'], 'OpenSSL asks by OCSP', () => {
  test.each(keyTypes)(
    'under %s: good, revoked with reason, unknown, by SHA-1 and SHA-256, with nonce and without',
    async (type) => {
      const all = ['good', 'revoked', 'held', 'unknown'].map((name) => `-cert ${type}-${name}.pem`).join(' ');
      for (const options of ['', '-sha256', '-no_nonce', '-sha256 -no_nonce']) {
        const said = await asked(type, (url) =>
          run(`openssl ocsp -issuer ${type}.pem ${options} ${all} -url ${url} -CAfile ${type}.pem`, dir),
        );
        // -sha256 is for the certificates that follow it.
        expect(said.stderr).toContain('Response verify OK');
        expect(said.stderr).not.toContain('WARNING');
        expect(said.stdout).toContain(`${type}-good.pem: good`);
        expect(said.stdout).toMatch(/-revoked\.pem: revoked[\s\S]*Reason: keyCompromise/);
        expect(said.stdout).toMatch(/-held\.pem: revoked[\s\S]*Reason: certificateHold/);
        expect(said.stdout).toContain(`${type}-unknown.pem: unknown`);
      }
    },
  );

  test('for a certificate of another issuer the answer is that nobody may say', async () => {
    const said = await asked('P-256', (url) =>
      run(`openssl ocsp -issuer P-384.pem -cert P-384-good.pem -url ${url} -CAfile P-384.pem`, dir),
    );
    expect(said.stdout + said.stderr).toContain('unauthorized (6)');
  });
});

withPrograms(['ocsptool'], 'GnuTLS asks by OCSP', () => {
  test.each(keyTypes)('under %s: good, revoked, unknown, with nonce and without', async (type) => {
    for (const nonce of ['--nonce', '--no-nonce'])
      for (const [name, word] of [
        ['good', 'good'],
        ['revoked', 'revoked'],
        ['unknown', 'unknown'],
      ]) {
        const said = await asked(type, (url) =>
          run(
            `ocsptool --ask=${url} ${nonce} --load-cert ${type}-${name}.pem --load-issuer ${type}.pem --load-trust ${type}.pem --verify-allow-broken`,
            dir,
          ),
        );
        expect(said.stdout).toContain(`Certificate Status: ${word}`);
        expect(said.stdout).toContain('Verifying OCSP Response: Success');
      }
  });
});
