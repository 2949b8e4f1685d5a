/** Names asked for at simplereenroll against those held. */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  type Extension,
  type JsonName,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { beforeAll, describe, expect, test } from 'vitest';
import { judgeSameSubject } from '../../../../registry/est/same-subject.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const uri = 'spiffe://fleetgate.local/fleet/plant/device/pump-1';
const san = (...names: { type: 'url' | 'dns'; value: string }[]) =>
  new SubjectAlternativeNameExtension(names);
const own = san({ type: 'url', value: uri });
const name: JsonName = [{ CN: ['pump-1'] }];

let keys: webcrypto.CryptoKeyPair;
let certificate: Buffer;
beforeAll(async () => {
  keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  certificate = await certify(name, [own]);
});

async function certify(subject: JsonName, extensions: Extension[]): Promise<Buffer> {
  const made = await X509CertificateGenerator.createSelfSigned({
    name: subject,
    keys,
    extensions,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(made.rawData);
}

async function ask(subject: JsonName, extensions: Extension[]): Promise<Buffer> {
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    extensions,
    signingAlgorithm: algorithm,
  });
  return Buffer.from(made.rawData);
}

describe('a CSR at simplereenroll', () => {
  test('has the names of its certificate, in whatever encoding', async () => {
    judgeSameSubject(await ask(name, [own]), certificate);
    const csr = await ask(name, [own]);
    const printable = Buffer.from('\x13\x06pump-1', 'latin1');
    expect(csr.includes(printable)).toBe(true);
    // A UTF8String of the same text.
    csr[csr.indexOf(printable)] = 0x0c;
    judgeSameSubject(csr, certificate);
  });

  test('has the same names in any order', async () => {
    const [a, b] = [
      { type: 'url' as const, value: uri },
      { type: 'dns' as const, value: 'pump-1.example' },
    ];
    judgeSameSubject(await ask(name, [san(a, b)]), await certify(name, [san(b, a)]));
  });

  test.each<[string, JsonName, Extension[]]>([
    ['another CN', [{ CN: ['pump-2'] }], [own]],
    ['a CN more', [{ CN: ['pump-1'] }, { CN: ['pump-2'] }], [own]],
    ['an attribute more', [{ CN: ['pump-1'] }, { O: ['Plant'] }], [own]],
    ['a CN in other case', [{ CN: ['Pump-1'] }], [own]],
    ['no subject', [], [own]],
    ['no alternative name', name, []],
    ['another alternative name', name, [san({ type: 'url', value: `${uri}0` })]],
    ['a name more', name, [san({ type: 'url', value: uri }, { type: 'dns', value: 'pump-1' })]],
    ['a second extension of names', name, [own, san({ type: 'dns', value: 'pump-1' })]],
    ['the name with another tag', name, [san({ type: 'dns', value: uri })]],
  ])('is refused with %s', async (_what, subject, extensions) => {
    const csr = await ask(subject, extensions);
    expect(() => judgeSameSubject(csr, certificate)).toThrow(
      expect.objectContaining({ kind: 'renewal-subject' }),
    );
  });

  test('is refused when it is none', () => {
    expect(() => judgeSameSubject(Buffer.from('3003020100', 'hex'), certificate)).toThrow(
      expect.objectContaining({ kind: 'csr-malformed' }),
    );
  });
});
