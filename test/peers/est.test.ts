/** EST with curl and openssl alone on both doors, the page of the documents as it is printed, and a client of others. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Doors, end, House, startCommand } from '../harness/house.ts';
import { sh, shell, withPrograms } from '../harness/peer-program.ts';
import { renewFromTheStart } from '../harness/renewal-times.ts';

const config = 'registry: { serverKeygen: true, failedAuthRate: 1000 }\n';

let house: House;
let dir: string;
beforeAll(async () => {
  house = await House.start({ config });
  renewFromTheStart(join(house.dir, 'data'));
  dir = await mkdtemp(join(tmpdir(), 'est-'));
  for (const id of ['plant', 'office']) await house.api.call('POST', '/v1/fleets', { id });
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

async function tokenFor(fleet: string, order: object = {}): Promise<string> {
  return (await house.api.call('POST', `/v1/fleets/${fleet}/tokens`, order)).body.token;
}

/** Key and CSR by openssl: ID.key and ID.csr, DER. */
const makeCsr = (id: string, file = id, more = '') =>
  sh(
    `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${file}.key -subj /CN=${id} ${more} -outform DER -out ${file}.csr 2>/dev/null`,
    dir,
  );

const asPkcs10 = "-H 'Content-Type: application/pkcs10' --data-binary @-";
/** The certificate in an answer, as PEM. */
const open = 'openssl base64 -d | openssl pkcs7 -inform DER -print_certs';

withPrograms(['curl', 'openssl', 'mosquitto_pub'], 'EST with curl and openssl alone', () => {
  describe.each(['https', 'registry'] as const)('at the door %s', (door) => {
    const curl = (rest: string) => `curl -sS --cacert ${house.doors.ca} ${rest}`;
    const url = (path: string) => `${house.doors[door]}/.well-known/est/${path}`;
    /** The status of a request with this body, made by a shell. */
    const status = (body: string, path: string, rest = '') =>
      sh(`${body} | ${curl(`-o said -w '%{http_code}' ${asPkcs10} ${rest} ${url(path)}`)}`, dir);
    const name = (what: string) => `${door}-${what}`;
    const said = () => JSON.parse(readFileSync(join(dir, 'said'), 'utf8'));

    test('cacerts is what the certificates of the doors lead to, in a message that openssl reads', () => {
      sh(`${curl(url('cacerts'))} | ${open} -out anchors.crt`, dir);
      expect(sh('grep -c BEGIN anchors.crt', dir).trim()).toBe('2');
      sh(`curl -sS --cacert anchors.crt ${url('plant/cacerts')}`, dir);
      expect(sh(`${curl('-I')} ${url('cacerts')}`, dir)).toMatch(/^HTTP\/1\.1 200/);
      const cms = sh(
        `${curl(url('cacerts'))} | openssl base64 -d | openssl cms -cmsout -print -noout -inform DER`,
        dir,
      );
      expect(cms).toMatch(/eContentType: pkcs7-data/);
      expect(cms).toMatch(/signerInfos:\s+<EMPTY>/);
    });

    test('csrattrs says which keys and extensions are wanted', () => {
      const wanted = sh(
        `${curl(url('plant/csrattrs'))} | openssl base64 -d | openssl asn1parse -inform DER`,
        dir,
      );
      for (const each of [
        /:id-ecPublicKey/,
        /:prime256v1/,
        /:ED25519/,
        /:rsaEncryption/,
        /:Extension Request/,
      ])
        expect(wanted).toMatch(each);
    });

    test.each([
      ['one line', 'base64 -w0'],
      ['lines of 76', 'base64'],
      ['lines of 64', 'openssl base64 -in'],
      ['lines of 76, CRLF', "sh -c 'base64 $0 | sed s/$/\\\\r/'"],
    ])('a token by Basic and a CSR in %s: a certificate that openssl verifies', async (how, encode) => {
      const id = name(how.replaceAll(/[ ,]+/g, '-'));
      makeCsr(id);
      const token = await tokenFor('plant');
      sh(
        `${encode} ${id}.csr | ${curl(`-f -u any:${token} ${asPkcs10} ${url('simpleenroll')}`)} | ${open} -out ${id}.crt`,
        dir,
      );
      expect(sh(`openssl verify -CAfile ${house.doors.ca} -purpose sslclient ${id}.crt`, dir)).toMatch(/OK/);
      expect(sh(`openssl x509 -in ${id}.crt -noout -ext subjectAltName`, dir)).toMatch(`device/${id}`);
      const same = `[ "$(openssl x509 -in ${id}.crt -noout -pubkey)" = "$(openssl pkey -in ${id}.key -pubout)" ]`;
      expect(shell(same, dir).code).toBe(0);
      expect(sh(`grep -c BEGIN ${id}.crt`, dir).trim()).toBe('1');
    });

    test('a token by Bearer, with the label of its fleet and a header that nobody needs', async () => {
      const id = name('bearer');
      makeCsr(id);
      const bearer = `-H 'Authorization: Bearer ${await tokenFor('plant')}'`;
      expect(status(`base64 ${id}.csr`, 'office/simpleenroll', bearer)).toBe('403');
      expect(said().code).toBe('token-scope');
      const deprecated = "-H 'Content-Transfer-Encoding: binary'";
      expect(status(`base64 ${id}.csr`, 'plant/simpleenroll', `${bearer} ${deprecated}`)).toBe('200');
    });

    test('the certificate connects to the broker, and is renewed by itself for another key', async () => {
      const id = name('whole');
      makeCsr(id);
      const token = await tokenFor('plant');
      sh(
        `base64 ${id}.csr | ${curl(`-f -u any:${token} ${asPkcs10} ${url('simpleenroll')}`)} | ${open} -out ${id}.crt`,
        dir,
      );
      const publish = (file: string) =>
        shell(
          `mosquitto_pub -h 127.0.0.1 -p ${house.port('mqtts')} --cafile ${house.doors.ca} --cert ${file}.crt --key ${file}.key -i ${id} -q 1 -t devices/${id}/telemetry -m '{}'`,
          dir,
        );
      expect(publish(id)).toMatchObject({ code: 0, stderr: '' });

      const tls = `--cert ${id}.crt --key ${id}.key`;
      const uri = `URI:spiffe://fleetgate.local/fleet/plant/device/${id}`;
      makeCsr(id, `${id}-next`, `-addext subjectAltName=${uri}`);
      const renew = (file: string, path = 'simplereenroll') => status(`base64 ${file}.csr`, path, tls);
      expect(renew(`${id}-next`, 'office/simplereenroll')).toBe('403');
      expect(renew(`${id}-next`, 'plant/simplereenroll')).toBe('200');
      sh(`cat said | ${open} -out ${id}-next.crt`, dir);
      expect(publish(`${id}-next`)).toMatchObject({ code: 0, stderr: '' });

      makeCsr('pump-other', `${id}-other`, `-addext subjectAltName=${uri}`);
      expect(renew(`${id}-other`)).toBe('422');
      expect(said().code).toBe('renewal-subject');
      makeCsr(id, `${id}-bare`);
      expect(renew(`${id}-bare`)).toBe('422');
      expect(status(`base64 ${id}-next.csr`, 'simplereenroll')).toBe('401');
    });

    test('a key made by the registry belongs to the certificate beside it', async () => {
      const id = name('keygen');
      makeCsr(id);
      expect(status(`base64 ${id}.csr`, 'serverkeygen', `-u any:${await tokenFor('plant')}`)).toBe('200');
      const part = (n: number) =>
        `awk -v part=${n} '/^--/ { n++; body = 0; next } /^\\r$/ { body = 1; next } body && n == part' said | openssl base64 -d`;
      sh(
        `${part(1)} | openssl pkey -inform DER -out made.key; ${part(2)} | openssl pkcs7 -inform DER -print_certs -out made.crt`,
        dir,
      );
      const keyOf = {
        certificate: 'openssl x509 -in made.crt -noout -pubkey',
        key: 'openssl pkey -in made.key -pubout',
      };
      expect(sh(keyOf.certificate, dir)).toBe(sh(keyOf.key, dir));
      expect(sh(keyOf.key, dir)).not.toBe(sh(`openssl pkey -in ${id}.key -pubout`, dir));
    });

    test.each([
      ['a wrong token', 401, 'token-invalid', 'base64 x.csr', 'simpleenroll', '-u any:wrong'],
      ['no token', 401, 'unauthenticated', 'base64 x.csr', 'simpleenroll', ''],
      ['no base64', 400, 'csr-malformed', 'echo garbage!', 'simpleenroll', '-u any:wrong'],
      ['a body of nothing', 400, 'csr-malformed', 'true', 'simpleenroll', '-u any:wrong'],
      [
        'another type',
        415,
        'unsupported-media-type',
        'cat x.csr',
        'simpleenroll',
        "-u any:wrong -H 'Content-Type: text/plain'",
      ],
      ['another operation', 404, 'not-found', 'base64 x.csr', 'fullcmc', ''],
      ['a body for cacerts', 405, 'method-not-allowed', 'true', 'cacerts', ''],
    ])('%s is %i', (_what, code, kind, body, path, rest) => {
      makeCsr('x');
      const line = rest.includes('Content-Type') ? rest : `${rest} -H 'Content-Type: application/pkcs10'`;
      const got = sh(
        `${body} | ${curl(`-D headers -o said -w '%{http_code}' --data-binary @- ${line} ${url(path)}`)}`,
        dir,
      );
      expect([got, said().code]).toEqual([String(code), kind]);
      const headers = readFileSync(join(dir, 'headers'), 'utf8').toLowerCase();
      if (code === 401) expect(headers).toMatch(/^www-authenticate: basic realm="estrealm"/m);
      if (code === 405) expect(headers).toMatch(/^allow: get, head/m);
    });

    test('DER that is no CSR is 400 once the token is right, and spends nothing', async () => {
      const token = await tokenFor('plant');
      expect(status('echo AAAA', 'simpleenroll', `-u any:${token}`)).toBe('400');
      makeCsr(name('after'));
      expect(status(`base64 ${name('after')}.csr`, 'simpleenroll', `-u any:${token}`)).toBe('200');
    });
  });

  test('the page of the documents arrives where it says', async () => {
    const page = readFileSync('docs/est.md', 'utf8');
    const lines = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map((block) => block[1]!);
    expect(lines).toHaveLength(4);
    const script = lines
      .join('\n')
      .replaceAll('localhost:8443', `localhost:${house.port('https')}`)
      .replaceAll('-p 8883', `-p ${house.port('mqtts')}`)
      .replaceAll('data/ca/ca.crt', house.doors.ca);
    const token = await tokenFor('plant', { deviceId: 'pump-9', uses: 2 });
    const ran = shell(`set -o pipefail\ntoken=${token}\n${script}`, dir, 60_000);
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    expect(ran.stdout).toMatch(/pump-9.crt: OK/);
    expect(
      sh('openssl x509 -in next.crt -noout -subject; openssl x509 -in made.crt -noout -subject', dir),
    ).toBe('subject=CN = pump-9\nsubject=CN = pump-9\n');
  });
});

withPrograms(['curl', 'openssl'], 'EST through a gateway whose registry is elsewhere', () => {
  test('is answered while the registry is there, and is 503 with Retry-After while it is not', async () => {
    const free = (...doors: string[]) => doors.flatMap((door) => [`--${door}-port`, '0']);
    const registry = await startCommand<Doors>([
      'registry',
      '--data',
      join(dir, 'r'),
      ...free('registry', 'pki', 'ops'),
    ]);
    const { registry: url, ca, adminTokenFile } = registry.doors;
    const joins = ['--registry', url, '--ca', ca, '--token-file', adminTokenFile, '--name', 'north'];
    const gateway = await startCommand<Doors>([
      'gateway',
      ...['--data', join(dir, 'g')],
      ...joins,
      ...free('mqtts', 'https', 'ops'),
    ]);
    try {
      const ask = `curl -sS -D headers -o said -w '%{http_code}' --cacert ${ca} ${gateway.doors.https}/.well-known/est/cacerts`;
      expect(sh(ask, dir)).toBe('200');
      expect(sh(`cat said | ${open} -noout | grep -c subject`, dir).trim()).toBe('2');
      await end(registry.child, 'SIGKILL');
      expect(sh(ask, dir)).toBe('503');
      expect(readFileSync(join(dir, 'headers'), 'utf8').toLowerCase()).toMatch(/^retry-after: \d+/m);
      expect(JSON.parse(readFileSync(join(dir, 'said'), 'utf8')).code).toBe('unavailable');
    } finally {
      await end(gateway.child, 'SIGTERM');
      await end(registry.child, 'SIGTERM');
    }
  });
});

// Where `go install` puts it.
process.env.PATH = [process.env.PATH, process.env.GOBIN, join(homedir(), 'go', 'bin')]
  .filter(Boolean)
  .join(delimiter);

withPrograms(['estclient', 'openssl'], "GlobalSign's EST client", () => {
  describe.each(['https', 'registry'] as const)('at the door %s', (door) => {
    const client = (verb: string, rest: string) =>
      `estclient ${verb} -server 127.0.0.1:${house.port(door)} -explicit ${house.doors.ca} ${rest}`;

    test('cacerts and csrattrs', () => {
      sh(client('cacerts', '-out go-anchors.crt'), dir);
      expect(sh('grep -c BEGIN go-anchors.crt', dir).trim()).toBe('2');
      const wanted = sh(client('csrattrs', '-aps plant'), dir);
      expect(wanted).toMatch(/1\.2\.840\.10045\.2\.1/);
    });

    test('enroll, reenroll, serverkeygen', async () => {
      const id = `go-${door}`;
      const token = await tokenFor('plant', { uses: 2 });
      sh(`openssl ecparam -name prime256v1 -genkey -noout -out ${id}.key`, dir);
      sh(
        client('enroll', `-aps plant -user any -pass ${token} -key ${id}.key -cn ${id} -out ${id}.crt`),
        dir,
      );
      expect(sh(`openssl verify -CAfile ${house.doors.ca} ${id}.crt`, dir)).toMatch(/OK/);
      // It makes the CSR of a renewal by itself, from the names of the certificate.
      sh(client('reenroll', `-certs ${id}.crt -key ${id}.key -out ${id}-next.crt`), dir);
      const serials = sh(
        `for f in ${id} ${id}-next; do openssl x509 -in $f.crt -noout -serial; done`,
        dir,
      ).trim();
      expect(new Set(serials.split('\n')).size).toBe(2);
      const made = `-out ${id}-made.crt -keyout ${id}-made.key`;
      sh(client('serverkeygen', `-user any -pass ${token} -key ${id}.key -cn ${id} ${made}`), dir);
      const same = `[ "$(openssl x509 -in ${id}-made.crt -noout -pubkey)" = "$(openssl pkey -in ${id}-made.key -pubout)" ]`;
      expect(shell(same, dir)).toMatchObject({ code: 0, stderr: '' });
    });

    test('a wrong token is told in words', () => {
      sh('openssl ecparam -name prime256v1 -genkey -noout -out wrong.key', dir);
      const ran = shell(client('enroll', '-user any -pass wrong -key wrong.key -cn pump-1'), dir);
      expect(ran.code).not.toBe(0);
      expect(ran.stdout + ran.stderr).toMatch(/not known here/);
    });
  });
});
