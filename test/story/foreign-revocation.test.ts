/** What a manufacturer takes back is taken back here: by its CRL and its OCSP responder, live, and on the terms agreed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { end, House } from '../harness/house.ts';
import { knock } from '../harness/house-devices.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['openssl'], 'revocation by a manufacturer', () => {
  let house: House;
  let dir: string;
  let ca: string;
  const port = () => house.port('mqtts');

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'taken-back-'));
    house = await House.start();
    ({ ca } = await house.api.enroll('plant', 'own'));
  });
  afterAll(async () => {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  async function register(name: string, anchor: ForeignCa, revocation: object, more: object = {}) {
    const order = {
      name,
      certificate: anchor.certificate,
      fleet: 'plant',
      mapping: [{ from: 'commonName' }],
      enrollment: 'jit',
      possession: 'waived',
      revocation,
      ...more,
    };
    const made = await house.api.call('POST', '/v1/anchors', order);
    expect(made.status).toBe(201);
    return made.body;
  }
  const source = async (name: string) => (await house.api.call('GET', `/v1/anchors/${name}`)).body.sources[0];
  const remaining = async (name: string): Promise<number> => {
    const text = await (await fetch(`${house.doors.ops}/metrics`)).text();
    return Number(
      new RegExp(`foreign_status_remaining_seconds\\{issuer="${name}"\\} (\\S+)`).exec(text)?.[1],
    );
  };

  describe('by CRL', () => {
    test('what a new CRL in a file lists is revoked at once, and its session ends; a hold can be lifted', async () => {
      const maker = ForeignCa.root(dir, 'filed');
      const made = await register('filed', maker, { policy: 'hard', crl: [maker.crl()] });
      expect(made.sources).toMatchObject([{ number: '1', entries: 0, problem: null }]);
      const [bad, held] = [maker.leaf('bad', ca), maker.leaf('held', ca)];
      const { closed } = await connectDevice(bad, port(), { protocolVersion: 5 });
      expect(await knock(house, held)).toMatchObject({ reason: null });
      maker.revoke('bad');
      maker.revoke('held', 'certificateHold');
      maker.crl();
      expect(await closed).toBe(0x98);
      expect(await knock(house, bad)).toEqual({ code: 0x8a, reason: 'certificate-revoked' });
      expect(await knock(house, held)).toEqual({ code: 0x8a, reason: 'certificate-held' });
      const { body } = await house.api.call('GET', '/v1/devices/bad');
      expect(body.certificates).toMatchObject([{ state: 'revoked', reason: 'issuer:keyCompromise' }]);

      maker.release('held');
      maker.release('bad');
      maker.crl();
      await eventually(async () => expect(await knock(house, held)).toMatchObject({ reason: null }));
      expect(await knock(house, bad)).toMatchObject({ reason: 'certificate-revoked' });
    });

    test('what our operators hold, no CRL lets go', async () => {
      const maker = ForeignCa.root(dir, 'patient');
      await register('patient', maker, { policy: 'soft', crl: [maker.crl()] });
      const device = maker.leaf('ours-to-hold', ca);
      expect(await knock(house, device)).toMatchObject({ reason: null });
      const hold = { reason: 'certificateHold' };
      await house.api.call('POST', `/v1/certificates/${device.fingerprint}/revoke`, hold);
      maker.crl();
      await eventually(async () => expect(await source('patient')).toMatchObject({ number: '2' }));
      expect(await knock(house, device)).toEqual({ code: 0x8a, reason: 'certificate-held' });
      await house.api.call('POST', `/v1/certificates/${device.fingerprint}/reinstate`);
      expect(await knock(house, device)).toMatchObject({ reason: null });
    });

    test('one that is listed before it ever came does not come in, and makes no device', async () => {
      const maker = ForeignCa.root(dir, 'before');
      const never = maker.leaf('never', ca);
      maker.revoke('never');
      await register('before', maker, { policy: 'soft', crl: [maker.crl()] });
      expect(await knock(house, never)).toMatchObject({ reason: 'certificate-revoked' });
      expect(await house.api.call('GET', '/v1/devices/never')).toMatchObject({ status: 404 });
    });

    test('an intermediate that its root takes back takes its devices with it; under hard, its own CRL is needed', async () => {
      const root = ForeignCa.root(dir, 'tiered');
      const line = root.intermediate('tiered-1');
      const bare = root.intermediate('tiered-2');
      const crl = [root.crl(), line.crl()];
      await register('tiered', root, { policy: 'hard', crl }, { intermediates: line.certificate });
      expect(await knock(house, bare.leaf('uncovered', ca))).toEqual({
        code: 0x88,
        reason: 'revocation-unknown',
      });
      const { closed } = await connectDevice(line.leaf('covered', ca), port(), { protocolVersion: 5 });
      root.revoke('tiered-1');
      root.crl();
      expect(await closed).toBe(0x98);
    });

    test('a CRL that is worse than the last good one is not taken, whatever is wrong with it', async () => {
      const maker = ForeignCa.root(dir, 'picky');
      const file = maker.crl();
      const first = readFileSync(file);
      await register('picky', maker, { policy: 'hard', crl: [file] });
      maker.crl();
      await eventually(async () => expect(await source('picky')).toMatchObject({ number: '2' }));
      const problemOf = async (bytes: Buffer) => {
        writeFileSync(file, bytes);
        return eventually(async () => {
          const { problem, number } = await source('picky');
          expect(number).toBe('2');
          if (problem === null) throw new Error('not looked at yet');
          return problem as string;
        });
      };
      const good = readFileSync(file);
      expect(await problemOf(first)).toMatch(/rolled-back/);
      writeFileSync(file, good);
      await eventually(async () => expect((await source('picky')).problem).toBeNull());
      expect(await problemOf(good.subarray(0, good.length - 20))).toMatch(/malformed/);
      writeFileSync(file, good);
      await eventually(async () => expect((await source('picky')).problem).toBeNull());
      expect(await problemOf(readFileSync(ForeignCa.root(dir, 'stranger').crl()))).toMatch(/wrong-issuer/);
      expect((await house.api.call('GET', '/v1/status')).body.verdict).toMatch(/the anchor picky/);
      expect(await knock(house, maker.leaf('still-good', ca))).toMatchObject({ reason: null });
    });
  });

  describe('when the source dies', () => {
    let server: Server;
    let url: string;
    let maker: ForeignCa;
    const lists = new Map<string, Buffer>();
    beforeAll(async () => {
      server = createServer((request, response) => {
        const bytes = lists.get(request.url ?? '');
        response.writeHead(bytes ? 200 : 503, { 'content-type': 'application/pkix-crl' }).end(bytes);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
      maker = ForeignCa.root(dir, 'served');
    });
    afterAll(() => server.close());

    test.each([
      ['hard', '1h', 'revocation-unknown'],
      ['last-good', '1s', 'revocation-unknown'],
      ['last-good', '1h', null],
      ['soft', '1h', null],
    ])('%s, %s: afterwards a device gets %s', async (policy, maxStale, reason) => {
      const name = `served-${policy}-${maxStale}`;
      const anchor = ForeignCa.root(dir, name);
      lists.set(`/${name}`, readFileSync(anchor.crl(`${name}.crl`, 3)));
      const made = await register(name, anchor, { policy, maxStale, crl: [`${url}/${name}`] });
      expect(made.sources).toMatchObject([{ number: '1' }]);
      const device = anchor.leaf(`of-${name}`, ca);
      const { closed, client } = await connectDevice(device, port(), { protocolVersion: 5 });
      lists.delete(`/${name}`);
      const problem = /what is known holds until|is not known, and its devices are refused/;
      if (policy !== 'soft')
        await eventually(async () =>
          expect((await house.api.call('GET', '/v1/status')).body.verdict).toMatch(problem),
        );
      if (reason === null) {
        // Its CRL has ended by then, and what is done about it is nothing.
        await eventually(async () => {
          const { nextUpdate } = await source(name);
          if (nextUpdate > new Date().toISOString()) throw new Error('the CRL is still good');
        });
        expect(await knock(house, device)).toEqual({ code: 0, reason: null });
        await client.endAsync();
        return;
      }
      // The session ends with what is known, and says try again.
      expect(await closed).toBe(0x89);
      expect(await knock(house, device)).toEqual({ code: 0x88, reason });
      await eventually(async () => expect(await remaining(name)).toBeLessThan(0), { timeoutMs: 20_000 });
      // It comes back: so do the devices.
      lists.set(`/${name}`, readFileSync(anchor.crl(`${name}.crl`, 3600)));
      await eventually(async () => expect(await knock(house, device)).toMatchObject({ reason: null }), {
        timeoutMs: 20_000,
      });
      await eventually(async () => expect(await remaining(name)).toBeGreaterThan(0));
    });

    test('the last good CRL outlives a restart of the registry', async () => {
      lists.set('/kept', readFileSync(maker.crl('kept.crl')));
      await register('kept', maker, { policy: 'hard', crl: [`${url}/kept`] });
      lists.delete('/kept');
      await house.kill('SIGTERM');
      const { dir: old } = house;
      house = await House.start({ dir: old });
      await eventually(async () =>
        expect(await source('kept')).toMatchObject({ number: '1', problem: /503/ }),
      );
      expect(await knock(house, maker.leaf('after-restart', ca))).toMatchObject({ reason: null });
    });
  });

  describe('by OCSP', () => {
    let responder: ChildProcess | undefined;
    let maker: ForeignCa;
    let ocspPort: number;

    beforeAll(async () => {
      maker = ForeignCa.root(dir, 'asked');
      maker.leaf('ocsp-signer', ca, { extensions: ['extendedKeyUsage=OCSPSigning'] });
      const free = createNetServer();
      await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
      ocspPort = (free.address() as { port: number }).port;
      await new Promise((resolve) => free.close(resolve));
    });
    afterAll(() => stop());

    async function start(minutes: number): Promise<void> {
      const files = [
        '-index',
        'asked.index.txt',
        '-CA',
        'asked.crt',
        '-rsigner',
        'ocsp-signer.crt',
        '-rkey',
        'ocsp-signer.key',
      ];
      responder = spawn('openssl', ['ocsp', '-port', String(ocspPort), ...files, '-nmin', String(minutes)], {
        cwd: dir,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      // It serves one connection after the other: to try it would be in the way.
      await once(responder.stderr!, 'data');
    }
    async function stop(): Promise<void> {
      if (responder) await end(responder, 'SIGTERM');
    }

    test('hard: the responder must call a device good before it comes in, and what it takes back later is cut', async () => {
      await register('asked', maker, { policy: 'hard', ocsp: 'aia' });
      const aia = [`authorityInfoAccess=OCSP;URI:http://127.0.0.1:${ocspPort}`];
      const [early, bad] = [
        maker.leaf('ocsp-early', ca, { extensions: aia }),
        maker.leaf('ocsp-bad', ca, { extensions: aia }),
      ];
      expect(await knock(house, early)).toEqual({ code: 0x88, reason: 'revocation-unknown' });
      await start(5);
      await eventually(async () => expect(await knock(house, early)).toEqual({ code: 0, reason: null }));
      const { closed } = await connectDevice(bad, port(), { protocolVersion: 5 });
      maker.revoke('ocsp-bad');
      await stop();
      await start(5);
      // Asked about again in the background, since its answer ends within minutes.
      expect(await closed).toBe(0x98);
      expect(await knock(house, bad)).toEqual({ code: 0x8a, reason: 'certificate-revoked' });
      expect(await knock(house, maker.leaf('no-aia', ca))).toMatchObject({ reason: 'revocation-unknown' });
    });
  });
});
