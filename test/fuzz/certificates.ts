/** Certificates that were broken on their way: read in bounded time, or refused with their own fault and nothing else. */
import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { expect } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { readCertificate } from '#common/x509/certificate.ts';
import { readDer } from '#common/x509/der.ts';
import { validatePath } from '#common/x509/path.ts';
import { leafFacts } from '../../gateway/admission/leaf-facts.ts';
import { octets } from '../harness/der-writer.ts';
import {
  altNames,
  directory,
  dns,
  ecKeys,
  email,
  forgeCa,
  forgeLeaf,
  ip,
  nameConstraints,
  otherName,
  rsaKeys,
  uri,
} from '../harness/forged-certificate.ts';
import { mutate, mutations } from './mqtt-packets.ts';
import { target } from './target.ts';

const root = forgeCa({ keys: rsaKeys(2048) });
const issuer = forgeCa(
  {
    keys: ecKeys('P-384'),
    extensions: { constraints: nameConstraints([dns('plant.example')], [ip('0a000000ff000000')]) },
  },
  root,
);
const names = altNames([
  dns('pump.plant.example'),
  uri('spiffe://plant.example/fleet/water/device/pump-7'),
  email('pump@plant.example'),
  ip('7f000001'),
  directory(root.subject),
  otherName('1.3.6.1.4.1.99999.1', octets(Buffer.from('x'))),
]);
const certificates = [
  root,
  issuer,
  forgeLeaf({}, issuer),
  forgeLeaf({ extensions: { altNames: names } }, issuer),
].map(({ der }) => der);
const anchors = [readCertificate(root.der)];
const intermediates = [readCertificate(issuer.der)];
const nowMs = 1_790_000_000_000;
/** Far above what the largest takes, far below what an attacker would like. */
const longestMs = 500;

/** The value, or the fault that it must be. */
function only<Value>(read: () => Value): Value | Fault {
  try {
    return read();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(Fault);
    expect((thrown as Fault).kind).toBe('certificate-malformed');
    return thrown as Fault;
  }
}

export const brokenCertificates = target(
  'certificates',
  'a broken certificate is read or refused as certificate-malformed, in bounded time, and never trusted more than it was',
  [fc.constantFrom(...certificates), mutations],
  (der, how) => {
    const bytes = mutate(der, how);
    const beforeMs = systemClock.elapsed();
    const certificate = only(() => readCertificate(bytes));
    const { leaf, problem } = leafFacts(bytes);
    expect(leaf === null).toBe(certificate instanceof Fault);
    expect(problem === null).toBe(leaf !== null);
    if (!(certificate instanceof Fault)) {
      only(() => certificate.publicKey());
      expect(certificate.der.equals(bytes)).toBe(true);
      const outcome = validatePath({ leaf: certificate, intermediates, anchors, nowMs });
      if (outcome.trusted) expect(certificates.some((each) => each.equals(bytes))).toBe(true);
    }
    expect(systemClock.elapsed() - beforeMs).toBeLessThan(longestMs);
  },
);

export const noiseAsDer = target(
  'der',
  'noise as DER is refused as certificate-malformed; what is read is what OpenSSL can find no other end of',
  [fc.uint8Array({ maxLength: 600 }), mutations],
  (noise, how) => {
    const bytes = mutate(Buffer.from(noise), how);
    only(() => readDer(bytes));
    const certificate = only(() => readCertificate(bytes));
    if (!(certificate instanceof Fault)) expect(() => new X509Certificate(bytes)).not.toThrow();
  },
);
