/** What this house's own CA signs holds before its own path validation, which is stricter than that of TLS libraries. */
import { expect, test } from 'vitest';
import { readCertificate } from '#common/x509/certificate.ts';
import { validatePath } from '#common/x509/path.ts';
import {
  makeIssuingCertificate,
  makeRootCertificate,
  makeSerialNumber,
} from '../../../../registry/ca/ca-certificates.ts';
import { FileSigner } from '../../../../registry/ca/file-signer.ts';
import { IssuingCa } from '../../../../registry/ca/issuing-ca.ts';
import type { CaSettings } from '../../../../registry/settings.ts';
import { ecKeys, rsaKeys, spkiOf } from '../../../harness/forged-certificate.ts';

const year = 365 * 86_400_000;
const nowMs = Date.parse('2026-11-01T00:00:00Z');
const settings = { rootLifetime: 30 * year, issuingLifetime: 5 * year } as CaSettings;

const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');

test.each([
  ['P-256', () => ecKeys('P-256')],
  ['RSA 2048', () => rsaKeys(2048)],
])('a device certificate of a CA with %s keys leads to its root', async (_name, makeKeys) => {
  const [rootSigner, signer] = [new FileSigner(makeKeys().privateKey), new FileSigner(makeKeys().privateKey)];
  const root = await makeRootCertificate(rootSigner, settings, nowMs);
  const issuing = await makeIssuingCertificate(
    signer.publicKey,
    { signer: rootSigner, certificate: root },
    settings,
    nowMs,
  );
  const ca = await IssuingCa.open({ root, issuing, signer }, () => 'http://pki.example/ca/issuing.cer');
  const plan = {
    serialNumber: makeSerialNumber(),
    commonName: 'pump_7:a',
    subject: [],
    uris: ['spiffe://fleetgate.local/fleet/water/device/pump_7:a'],
    dnsNames: [],
    addresses: [],
    purposes: ['clientAuth' as const],
    notBeforeMs: nowMs - 3_600_000,
    notAfterMs: nowMs + year,
  };
  const leaf = readCertificate(await ca.sign(plan, spkiOf(ecKeys())));
  const [anchor, intermediate] = [readCertificate(derOf(root)), readCertificate(derOf(issuing))];
  const outcome = validatePath({ leaf, intermediates: [intermediate], anchors: [anchor], nowMs });
  expect(outcome).toMatchObject({ trusted: true, notAfterMs: plan.notAfterMs });
  expect(leaf.serialNumber).toBe(plan.serialNumber);
  // The issuing CA may sign leaves only: its path length is 0.
  expect(intermediate.extensions.basicConstraints?.pathLength).toBe(0);
});
