/** Certificates that others have let in (lines 5 to 9 of what a device gateway meets), at both doors: each refused, each with its word. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { ForeignCa, type LeafOptions } from '../harness/foreign-ca.ts';
import { House } from '../harness/house.ts';
import { knock, me } from '../harness/house-devices.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['openssl'], 'attacks with foreign certificates', () => {
  let house: House;
  let dir: string;
  let ca: string;
  let maker: ForeignCa;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'hostile-'));
    house = await House.start();
    ({ ca } = await house.api.enroll('plant', 'own'));
    maker = ForeignCa.root(dir, 'maker');
    await anchor('maker', maker, [{ from: 'uri', pattern: 'urn:dev:{id}' }, { from: 'commonName' }]);
  });
  afterAll(async () => {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  async function anchor(name: string, of: ForeignCa, mapping: object[], fleet = 'plant'): Promise<void> {
    const order = {
      name,
      certificate: of.certificate,
      fleet,
      mapping,
      enrollment: 'jit',
      possession: 'waived',
    };
    expect((await house.api.call('POST', '/v1/anchors', order)).status).toBe(201);
  }

  /** At both doors, and nothing came of it. */
  async function isRefused(device: DeviceIdentity, reason: string): Promise<void> {
    expect(await knock(house, device)).toMatchObject({ reason });
    const { status, body } = await me(house, device);
    expect([status >= 400, body.code]).toEqual([true, reason]);
    expect((await house.api.call('GET', `/v1/certificates/${device.fingerprint}`)).status).toBe(404);
    expect(house.child.exitCode).toBeNull();
  }
  const chained = (device: DeviceIdentity, ...more: string[]): DeviceIdentity => ({
    ...device,
    certificate: device.certificate + more.join(''),
  });

  describe('5: leaves that Node would take', () => {
    test.each<[string, LeafOptions]>([
      ['without an extended key usage', { extensions: ['extendedKeyUsage='] }],
      ['with anyExtendedKeyUsage', { extensions: ['extendedKeyUsage=clientAuth,anyExtendedKeyUsage'] }],
      ['for serverAuth only', { extensions: ['extendedKeyUsage=serverAuth'] }],
      ['that is a CA', { extensions: ['basicConstraints=critical,CA:TRUE'] }],
      ['that may sign certificates', { extensions: ['keyUsage=critical,digitalSignature,keyCertSign'] }],
      ['that may not sign handshakes', { extensions: ['keyUsage=critical,keyEncipherment'] }],
    ])('one %s', async (what, options) => {
      await isRefused(maker.leaf(what.replaceAll(' ', '-'), ca, options), 'leaf-profile');
    });
  });

  describe('6: names that are read in two ways', () => {
    test.each<[string, LeafOptions, string]>([
      [
        'a URI with a host and a comma after the prefix',
        {
          extensions: ['subjectAltName=@names'],
          sections: '[names]\nURI.1=urn:dev:own\\, DNS:evil\n',
          subject: '/CN=no device',
        },
        'leaf-profile',
      ],
      [
        'two URIs that both fit',
        { extensions: ['subjectAltName=URI:urn:dev:a,URI:urn:dev:b'], subject: '/CN=no device' },
        'mapping-failed',
      ],
      ['two CNs', { subject: '/CN=one/CN=two' }, 'mapping-failed'],
      ['two CNs in one part', { subject: '/CN=one+CN=two' }, 'mapping-failed'],
      ['a wildcard in a CN', { subject: '/CN=#' }, 'mapping-failed'],
      ['a slash in a CN', { subject: '/CN=own\\/x' }, 'mapping-failed'],
    ])('%s', async (what, options, reason) => {
      const sent = { ...options, extensions: options.extensions ?? [] };
      await isRefused(maker.leaf(what.replaceAll(' ', '-'), ca, sent), reason);
    });

    test('a NUL in a CN (CVE-2009-2408)', async () => {
      const device = maker.leaf('nul', ca, { subject: '/CN=ownXevil' });
      const der = Buffer.from(device.certificate.replace(/-----[^-]+-----/g, ''), 'base64');
      der[der.indexOf('ownXevil') + 3] = 0;
      const pem = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/(.{64})/g, '$1\n')}\n-----END CERTIFICATE-----\n`;
      writeFileSync(join(dir, 'nul.crt'), pem);
      const print = execFileSync('openssl', ['x509', '-in', 'nul.crt', '-noout', '-fingerprint', '-sha256'], {
        cwd: dir,
        encoding: 'utf8',
      });
      const fingerprint = print.split('=')[1]!.trim().replaceAll(':', '').toLowerCase();
      await isRefused({ ...device, certificate: pem, fingerprint }, 'certificate-malformed');
    });

    test('the name of one of our own devices, by a foreign CA of another fleet', async () => {
      await house.api.call('POST', '/v1/fleets', { id: 'theirs' });
      const theirs = ForeignCa.root(dir, 'theirs');
      await anchor('theirs', theirs, [{ from: 'commonName' }], 'theirs');
      await isRefused(theirs.leaf('own', ca), 'conflict');
    });
  });

  describe('7: issuers that are none', () => {
    /** A certificate below a CA file of the folder, whatever that is good for. */
    function below(
      issuer: string,
      name: string,
      extensions = [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'extendedKeyUsage=clientAuth',
      ],
    ): DeviceIdentity {
      const all = [...extensions, 'subjectKeyIdentifier=hash', 'authorityKeyIdentifier=keyid'];
      writeFileSync(join(dir, `${name}.ext`), all.join('\n'));
      const script = `openssl req -config empty.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${name}.key -subj /CN=${name} -out ${name}.csr
        openssl x509 -req -in ${name}.csr -CA ${issuer}.crt -CAkey ${issuer}.key -set_serial 0x$(openssl rand -hex 10) -days 5 -extfile ${name}.ext -out ${name}.crt
        openssl x509 -in ${name}.crt -noout -fingerprint -sha256`;
      const print = execFileSync('bash', ['-euc', script], { cwd: dir, encoding: 'utf8', stdio: 'pipe' });
      const fingerprint = print.split('=')[1]!.trim().replaceAll(':', '').toLowerCase();
      const [key, certificate] = [
        readFileSync(join(dir, `${name}.key`), 'utf8'),
        readFileSync(join(dir, `${name}.crt`), 'utf8'),
      ];
      return { id: name, fleet: '', key, certificate, ca, fingerprint, privateKey: undefined as never };
    }

    test('a device certificate as an issuer', async () => {
      const device = maker.leaf('ambitious', ca);
      expect(await knock(house, device)).toMatchObject({ reason: null });
      await isRefused(chained(below('ambitious', 'its-child'), device.certificate), 'untrusted-certificate');
    });

    test('an intermediate without the CA bit, and one that is not for signing certificates', async () => {
      const fake = maker.intermediate('fake', ['basicConstraints=critical,CA:FALSE']);
      await isRefused(chained(below('fake', 'of-fake'), fake.chain), 'untrusted-certificate');
      const mute = maker.intermediate('mute', ['keyUsage=critical,cRLSign']);
      await isRefused(chained(below('mute', 'of-mute'), mute.chain), 'untrusted-certificate');
    });

    test('a path that is longer than a CA allows', async () => {
      const short = maker.intermediate('short', ['basicConstraints=critical,CA:TRUE,pathlen:0']);
      const longer = below('short', 'longer', [
        'basicConstraints=critical,CA:TRUE',
        'keyUsage=critical,keyCertSign',
      ]);
      await isRefused(
        chained(below('longer', 'too-deep'), longer.certificate, short.chain),
        'untrusted-certificate',
      );
    });

    test('a CA with the name of the anchor and another key', async () => {
      const double = ForeignCa.root(dir, 'double', '/CN=maker');
      await isRefused(chained(double.leaf('of-double', ca), double.certificate), 'untrusted-certificate');
    });

    test('a self-signed leaf with the name of the anchor', async () => {
      const selfMade = ForeignCa.root(dir, 'self-made', '/CN=maker', 'P-256', [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'extendedKeyUsage=clientAuth',
      ]);
      const print = execFileSync(
        'openssl',
        ['x509', '-in', 'self-made.crt', '-noout', '-fingerprint', '-sha256'],
        { cwd: dir, encoding: 'utf8' },
      );
      const fingerprint = print.split('=')[1]!.trim().replaceAll(':', '').toLowerCase();
      const key = readFileSync(join(dir, 'self-made.key'), 'utf8');
      await isRefused(
        {
          id: 'maker',
          fleet: '',
          key,
          certificate: selfMade.certificate,
          ca,
          fingerprint,
          privateKey: undefined as never,
        },
        'untrusted-certificate',
      );
    });
  });

  describe('8: name constraints', () => {
    test.each<[string, string, LeafOptions, string | null]>([
      [
        'a DNS name outside',
        'permitted;DNS:factory.example',
        { extensions: ['subjectAltName=DNS:a.elsewhere.example'] },
        'untrusted-certificate',
      ],
      [
        'a DNS name inside',
        'permitted;DNS:factory.example',
        { extensions: ['subjectAltName=DNS:b.factory.example'] },
        null,
      ],
      [
        'a wildcard over an excluded name (CVE-2025-61727)',
        'excluded;DNS:secret.plant.example',
        { extensions: ['subjectAltName=DNS:*.plant.example'] },
        'untrusted-certificate',
      ],
      [
        'a URI outside',
        'permitted;URI:.factory.example',
        { extensions: ['subjectAltName=URI:https://x.elsewhere.example/d'] },
        'untrusted-certificate',
      ],
    ])('%s', async (what, constraint, options, reason) => {
      const name = what.replaceAll(/[^a-zA-Z]+/g, '-');
      const bound = maker.intermediate(`ca-${name}`, [`nameConstraints=critical,${constraint}`]);
      const device = bound.leaf(name, ca, { ...options, subject: `/CN=${name}` });
      if (reason) await isRefused(device, reason);
      else expect(await knock(house, device)).toMatchObject({ reason });
    });
  });

  describe('9: chains that are bombs', () => {
    test('a hundred certificates', async () => {
      const many = Array.from({ length: 90 }, () => maker.certificate);
      const device = ForeignCa.root(dir, 'bomber').leaf('bomb', ca);
      await isRefused(chained(device, ...many), 'untrusted-certificate');
    });

    test('intermediates that vouch for each other in a circle (CVE-2024-0567)', async () => {
      const [one, two] = [ForeignCa.root(dir, 'ring-1'), ForeignCa.root(dir, 'ring-2')];
      // Each certified by the other: same names and keys, no anchor anywhere.
      const script = `for pair in '1 2' '2 1'; do set -- $pair
        openssl x509 -in ring-$1.crt -x509toreq -signkey ring-$1.key -out cross-$1.csr
        printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=keyCertSign\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid' > cross.ext
        openssl x509 -req -in cross-$1.csr -CA ring-$2.crt -CAkey ring-$2.key -set_serial 0x1$1 -days 5 -extfile cross.ext -out cross-$1.crt
      done`;
      execFileSync('bash', ['-euc', script], { cwd: dir, stdio: 'pipe' });
      const cross = ['cross-1', 'cross-2'].map((name) => readFileSync(join(dir, `${name}.crt`), 'utf8'));
      await isRefused(chained(one.leaf('in-circles', ca), ...cross), 'untrusted-certificate');
      expect(two.name).toBe('ring-2');
    });

    test('an issuer on a curve that is written out is not used', async () => {
      const script = `openssl ecparam -name prime256v1 -param_enc explicit -genkey -noout -out explicit.key
        openssl req -config empty.cnf -x509 -key explicit.key -subj /CN=maker -days 3 -out explicit.crt -addext basicConstraints=critical,CA:TRUE`;
      execFileSync('bash', ['-euc', script], { cwd: dir, stdio: 'pipe' });
      const device = ForeignCa.root(dir, 'explicit-user').leaf('curve', ca);
      await isRefused(
        chained(device, readFileSync(join(dir, 'explicit.crt'), 'utf8')),
        'untrusted-certificate',
      );
    });

    test('forged chains in a row: each is refused, and a device beside them comes in as before', async () => {
      const good = maker.leaf('bystander', ca);
      expect(await knock(house, good)).toMatchObject({ reason: null });
      const forger = ForeignCa.root(dir, 'forger', '/CN=maker');
      const forged = Array.from({ length: 5 }, (_, n) => forger.leaf(`forged-${n}`, ca));
      const before = systemClock.elapsed();
      let refused = 0;
      for (let n = 0; n < 40; n++)
        await Promise.all(
          forged.map(async (device) => {
            const { code } = await knock(house, device);
            if (code !== 0) refused += 1;
          }),
        );
      expect(refused).toBe(200);
      expect(await knock(house, good)).toMatchObject({ reason: null });
      expect(systemClock.elapsed() - before).toBeLessThan(60_000);
    });
  });
});
