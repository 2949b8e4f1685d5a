/** Certificates of every key type, as openssl, GnuTLS and Node read them. */
import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { certificatePem } from '#common/x509/pem.ts';
import {
  makeIssuingCertificate,
  makeRootCertificate,
  makeSerialNumber,
} from '../../registry/ca/ca-certificates.ts';
import { makeCertificate } from '../../registry/ca/certificate.ts';
import { FileSigner } from '../../registry/ca/file-signer.ts';
import { IssuingCa } from '../../registry/ca/issuing-ca.ts';
import { type CaKeyType, makeKey } from '../../registry/ca/key-type.ts';
import { encodeName } from '../../registry/ca/name.ts';
import type { CaSettings } from '../../registry/settings.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';

const dayMs = 86_400_000;
const settings = { rootLifetime: 100 * dayMs, issuingLifetime: 50 * dayMs } as CaSettings;
const nowMs = Math.floor(systemClock.now() / 1000) * 1000;
const classic = ['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'RSA-3072', 'RSA-4096'] as const;
const postQuantum = ['ML-DSA-44', 'ML-DSA-65'] as const;
const keys = new Map<CaKeyType, KeyObject>();
/** RSA keys take seconds to make. */
const keyOf = (type: CaKeyType): KeyObject => {
  const key = keys.get(type) ?? makeKey(type);
  keys.set(type, key);
  return key;
};

interface Chain {
  dir: string;
  ca: IssuingCa;
  leaf: X509Certificate;
}

/** A root, an issuing CA and a leaf in a folder that goes when the test does. */
async function chain(caType: CaKeyType, leafType: CaKeyType): Promise<Chain & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'certificates-'));
  const rootSigner = new FileSigner(keyOf(caType));
  const signer = new FileSigner(makeKey(caType.startsWith('RSA') ? 'RSA-2048' : caType));
  const root = await makeRootCertificate(rootSigner, settings, nowMs);
  const issuing = await makeIssuingCertificate(
    signer.publicKey,
    { signer: rootSigner, certificate: root },
    settings,
    nowMs,
  );
  const ca = await IssuingCa.open(
    { root, issuing, signer },
    () => 'http://pki.example/ca/issuing.cer',
    () => ({ crl: ['http://pki.example/crl/issuing.crl'], ocsp: ['http://pki.example/ocsp'] }),
  );
  const plan = {
    serialNumber: makeSerialNumber(),
    commonName: 'pump-1',
    subject: [],
    uris: ['spiffe://t/fleet/f/device/pump-1'],
    dnsNames: ['pump-1.example'],
    addresses: ['192.0.2.1', '2001:db8::1'],
    purposes: ['clientAuth' as const, 'serverAuth' as const],
    notBeforeMs: nowMs - 3_600_000,
    notAfterMs: nowMs + dayMs,
  };
  const publicKey = createPublicKey(keyOf(leafType)).export({ type: 'spki', format: 'der' });
  const leaf = await ca.sign(plan, publicKey);
  await writeFile(join(dir, 'root.crt'), root);
  await writeFile(join(dir, 'issuing.crt'), issuing);
  await writeFile(join(dir, 'leaf.crt'), certificatePem(leaf));
  return {
    dir,
    ca,
    leaf: new X509Certificate(leaf),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

function nodeAccepts({ ca, leaf }: Chain): void {
  const [root, issuing] = [new X509Certificate(ca.root), ca.certificate];
  expect(ca.isIssuerOf(leaf)).toBe(true);
  expect([leaf.checkIssued(issuing), issuing.checkIssued(root), root.checkIssued(root)]).toEqual([
    true,
    true,
    true,
  ]);
  expect([issuing.verify(root.publicKey), root.verify(root.publicKey)]).toEqual([true, true]);
  expect([root.ca, issuing.ca, leaf.ca]).toEqual([true, true, false]);
}

withPrograms(['openssl', 'certtool'], 'certificates of every classic key type', () => {
  // Each type as a CA of each as a leaf would say no more than each once as either.
  const pairs = classic.map((type, index) => [type, classic[(index + 1) % classic.length]!] as const);

  test.each([...pairs, ['P-256', 'P-256'] as const])('%s as CA, %s as leaf', async (caType, leafType) => {
    await using made = await chain(caType, leafType);
    nodeAccepts(made);
    expect(
      sh(
        'openssl verify -x509_strict -purpose sslclient -CAfile root.crt -untrusted issuing.crt leaf.crt',
        made.dir,
      ),
    ).toBe('leaf.crt: OK\n');
    const gnutls = sh(
      'cat leaf.crt issuing.crt > chain.crt; certtool --verify --load-ca-certificate root.crt --infile chain.crt 2>&1',
      made.dir,
    );
    expect(gnutls).toMatch(/Chain verification output: Verified\. The certificate is trusted\./);
  });

  test('openssl prints every field as it was meant', async () => {
    await using made = await chain('P-256', 'P-384');
    const said = sh('openssl x509 -in leaf.crt -noout -text', made.dir).replace(/\s+/g, ' ');
    for (const part of [
      'Version: 3 (0x2)',
      'Signature Algorithm: ecdsa-with-SHA256',
      'Subject: CN = pump-1',
      'ASN1 OID: secp384r1',
      'X509v3 Basic Constraints: critical CA:FALSE',
      'X509v3 Key Usage: critical Digital Signature X509v3',
      'TLS Web Client Authentication, TLS Web Server Authentication',
      'URI:spiffe://t/fleet/f/device/pump-1, DNS:pump-1.example, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1',
      'Full Name: URI:http://pki.example/crl/issuing.crl',
      'OCSP - URI:http://pki.example/ocsp',
      'CA Issuers - URI:http://pki.example/ca/issuing.cer',
    ])
      expect(said).toContain(part);
    const issuing = sh('openssl x509 -in issuing.crt -noout -text', made.dir).replace(/\s+/g, ' ');
    expect(issuing).toContain('X509v3 Basic Constraints: critical CA:TRUE, pathlen:0');
    expect(issuing).toContain('X509v3 Key Usage: critical Certificate Sign, CRL Sign');
  });

  test('GnuTLS prints the names and times, those after 2049 too', async () => {
    await using made = await chain('P-256', 'P-256');
    const signer = new FileSigner(makeKey('P-256'));
    const der = await makeCertificate(
      {
        serialNumber: '01',
        issuerName: made.ca.identity.name,
        subject: [],
        notBeforeMs: nowMs,
        notAfterMs: Date.UTC(9999, 11, 31, 23, 59, 59),
        publicKey: signer.publicKey.export({ type: 'spki', format: 'der' }),
        isCa: false,
        keyUsage: ['digitalSignature', 'keyAgreement', 'decipherOnly'],
        extendedKeyUsage: ['OCSPSigning'],
        names: [{ type: 'email', value: 'a@example.org' }],
        authorityKeyId: Buffer.alloc(20, 1),
        ocspNoCheck: true,
      },
      signer,
    );
    await writeFile(join(made.dir, 'late.crt'), certificatePem(der));
    const said = sh('certtool -i --infile late.crt', made.dir);
    expect(said).toContain('Not After: Fri Dec 31 23:59:59 UTC 9999');
    expect(said).toMatch(/Subject Alternative Name \(critical\):\s+RFC822Name: a@example\.org/);
    expect(said).toMatch(
      /Key Usage \(critical\):\s+Digital signature\.\s+Key agreement\.\s+Key decipher only\./,
    );
    expect(said).toContain('OCSP signing');
    expect(sh('openssl x509 -in late.crt -noout -text', made.dir)).toContain('OCSP No Check');
  });

  test('name constraints bind: a leaf beside them is refused by openssl and GnuTLS', async () => {
    await using made = await chain('P-256', 'P-256');
    const signer = new FileSigner(makeKey('P-256'));
    const publicKey = signer.publicKey.export({ type: 'spki', format: 'der' });
    const subject = [{ type: 'CN', value: 'Bounded' }];
    const common = { subject, notBeforeMs: nowMs - 1000, notAfterMs: nowMs + dayMs, publicKey };
    const keyId = Buffer.alloc(20, 3);
    const root = await makeCertificate(
      {
        ...common,
        serialNumber: '02',
        issuerName: encodeName(subject),
        isCa: true,
        keyUsage: ['keyCertSign', 'cRLSign'],
        subjectKeyId: keyId,
        authorityKeyId: keyId,
        nameConstraints: {
          permitted: [
            { type: 'dns', value: 'good.example' },
            { type: 'ip', value: '192.0.2.0/24' },
          ],
          excluded: [{ type: 'dns', value: 'bad.good.example' }],
        },
      },
      signer,
    );
    await writeFile(join(made.dir, 'bounded.crt'), certificatePem(root));
    const verdict = async (type: 'dns' | 'ip', value: string): Promise<boolean> => {
      const leaf = await makeCertificate(
        {
          ...common,
          subject: [{ type: 'O', value: 'x' }],
          serialNumber: '03',
          issuerName: encodeName(subject),
          publicKey: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
          isCa: false,
          keyUsage: ['digitalSignature'],
          names: [{ type, value }],
          authorityKeyId: keyId,
        },
        signer,
      );
      await writeFile(join(made.dir, 'named.crt'), certificatePem(leaf));
      const openssl = sh('openssl verify -CAfile bounded.crt named.crt 2>&1 || true', made.dir);
      const gnutls = sh(
        'certtool --verify --load-ca-certificate bounded.crt --infile named.crt 2>&1 || true',
        made.dir,
      );
      const both = [
        openssl.includes('named.crt: OK'),
        /: Verified\. The certificate is trusted/.test(gnutls),
      ];
      expect(both[0]).toBe(both[1]);
      return both[0]!;
    };
    expect(await verdict('dns', 'a.good.example')).toBe(true);
    expect(await verdict('dns', 'bad.good.example')).toBe(false);
    expect(await verdict('dns', 'other.example')).toBe(false);
    expect(await verdict('ip', '192.0.2.9')).toBe(true);
    expect(await verdict('ip', '192.0.3.9')).toBe(false);
  });
});

test.each([...postQuantum.map((type) => [type, type] as const), ['ML-DSA-65', 'P-256'] as const])(
  '%s as CA, %s as leaf: checked by Node alone, since OpenSSL 3.0 and GnuTLS 3.7 do not know ML-DSA',
  async (caType, leafType) => {
    await using made = await chain(caType, leafType);
    nodeAccepts(made);
  },
);
