/** How an anchor is registered: by whoever holds its key, if it is good enough, once, and within a bound. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apiClient } from '../harness/api-client.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { House } from '../harness/house.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['openssl'], 'registration of anchors', () => {
  let house: House;
  let dir: string;
  let ca: string;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'maker-'));
    house = await House.start();
    ({ ca } = await house.api.enroll('plant', 'own'));
  });
  afterAll(async () => {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  const order = (name: string, anchor: ForeignCa, terms: object = {}) => ({
    name,
    certificate: anchor.certificate,
    fleet: 'plant',
    mapping: [{ from: 'commonName' }],
    enrollment: 'registered',
    ...terms,
  });
  const nonceOf = async (name: string): Promise<string> =>
    (await house.api.call('POST', '/v1/anchors/challenge', { name })).body.nonce;

  test('whoever cannot show the key of the CA does not register it', async () => {
    const [mine, other] = [ForeignCa.root(dir, 'mine'), ForeignCa.root(dir, 'other')];
    const refused = { status: 422, body: { code: 'anchor-possession' } };
    const ask = async (proof: object | undefined) =>
      house.api.call('POST', '/v1/anchors', { ...order('stolen', mine), proof });
    expect(await ask(undefined)).toMatchObject(refused);
    expect(await ask(mine.proofOf('1234567890abcdef'))).toMatchObject(refused);
    expect(await ask(other.proofOf(await nonceOf('stolen')))).toMatchObject(refused);
    expect(await ask({ signature: 'AAAA' })).toMatchObject(refused);
    expect(await ask(mine.proofOf(await nonceOf('of-another-name')))).toMatchObject(refused);
  });

  test.each(['P-256', 'RSA-2048', 'Ed25519'] as const)(
    'a signature of %s over the nonce is a proof, once',
    async (key) => {
      const anchor = ForeignCa.root(dir, `signs-${key}`, '/CN=Signer', key);
      writeFileSync(join(dir, 'nonce'), await nonceOf(`signer-${key}`));
      const sign =
        key === 'Ed25519'
          ? ['pkeyutl', '-sign', '-rawin', '-inkey', `signs-${key}.key`, '-in', 'nonce']
          : ['dgst', '-sha256', '-sign', `signs-${key}.key`, 'nonce'];
      const signature = execFileSync('openssl', sign, { cwd: dir }).toString('base64');
      const ask = () =>
        house.api.call('POST', '/v1/anchors', { ...order(`signer-${key}`, anchor), proof: { signature } });
      expect(await ask()).toMatchObject({ status: 201, body: { subject: 'CN="Signer"' } });
      expect(await ask()).toMatchObject({ status: 422, body: { code: 'anchor-possession' } });
    },
  );

  test('an administrator may waive it, nobody else, and the audit says so', async () => {
    const anchor = { ...order('waived', ForeignCa.root(dir, 'waived')), possession: 'waived' };
    const { body } = await house.api.call('POST', '/v1/api-tokens', { name: 'op', role: 'operator' });
    const operator = apiClient(house.doors.registry, ca, body.token);
    expect(await operator.call('POST', '/v1/anchors', anchor)).toMatchObject({ status: 403 });
    await operator.close();
    expect(await house.api.call('POST', '/v1/anchors', anchor)).toMatchObject({ status: 201 });
    const audit = await house.api.call('GET', '/v1/audit?limit=1000');
    const deed = audit.body.items.findLast(({ action }: { action: string }) => action === 'anchor.add');
    expect(deed).toMatchObject({ target: 'waived', detail: { possession: 'waived' } });
  });

  test.each([
    ['is no CA', ['basicConstraints=critical,CA:FALSE'], 'not-a-ca'],
    ['may not sign certificates', ['keyUsage=critical,cRLSign'], 'key-usage'],
  ])('one that %s is refused', async (what, extensions, problem) => {
    const anchor = ForeignCa.root(dir, what.replaceAll(' ', '-'), '/CN=weak', 'P-256', extensions);
    const answer = await house.api.call('POST', '/v1/anchors', {
      ...order('weak', anchor),
      possession: 'waived',
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'malformed', problem } });
  });

  test('a weak key is refused', async () => {
    const made = [
      'req',
      '-x509',
      '-config',
      'empty.cnf',
      '-newkey',
      'rsa:1024',
      '-nodes',
      '-keyout',
      'w.key',
      '-subj',
      '/CN=w',
    ];
    execFileSync(
      'openssl',
      [
        ...made,
        '-addext',
        'basicConstraints=critical,CA:TRUE',
        '-addext',
        'subjectKeyIdentifier=hash',
        '-out',
        'w.crt',
      ],
      { cwd: dir, stdio: 'pipe' },
    );
    const anchor = {
      ...order('w', ForeignCa.root(dir, 'x')),
      certificate: readFileSync(join(dir, 'w.crt'), 'utf8'),
    };
    const answer = await house.api.call('POST', '/v1/anchors', { ...anchor, possession: 'waived' });
    expect(answer).toMatchObject({ status: 400, body: { problem: 'weak-key' } });
  });

  test('a name and a CA are taken once; terms that do not fit are named', async () => {
    const anchor = ForeignCa.root(dir, 'twice');
    const ask = (change: object) =>
      house.api.call('POST', '/v1/anchors', { ...order('twice', anchor), possession: 'waived', ...change });
    expect(await ask({ mapping: [{ from: 'otherName' }] })).toMatchObject({ status: 400 });
    expect(await ask({ mapping: [{ from: 'uri', pattern: 'urn:dev:*' }] })).toMatchObject({ status: 400 });
    expect(await ask({ revocation: { policy: 'hard' } })).toMatchObject({ status: 400 });
    expect(await ask({ fleet: 'nowhere' })).toMatchObject({ status: 404 });
    expect(await ask({})).toMatchObject({ status: 201 });
    expect(await ask({})).toMatchObject({ status: 409 });
    expect(await ask({ name: 'once-more' })).toMatchObject({ status: 409 });
  });

  test('there are no more anchors than may be, until one is removed', async () => {
    await using small = await House.start({ config: 'foreign: { maxAnchors: 1 }\n' });
    await small.api.call('POST', '/v1/fleets', { id: 'plant' });
    const [one, two] = [ForeignCa.root(dir, 'first-of-one'), ForeignCa.root(dir, 'second-of-one')];
    const ask = async (name: string, anchor: ForeignCa) =>
      (await small.api.call('POST', '/v1/anchors', { ...order(name, anchor), possession: 'waived' })).status;
    expect(await ask('one', one)).toBe(201);
    expect(await ask('two', two)).toBe(429);
    await small.api.call('DELETE', '/v1/anchors/one');
    expect(await ask('two', two)).toBe(201);
  });
});
