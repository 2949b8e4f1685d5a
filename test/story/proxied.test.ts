/** Behind a proxy: whom it says it connects for is whom everything sees, and nobody else may say such a thing. */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House, startCommand } from '../harness/house.ts';
import { bare2, version1, version2 } from '../harness/proxy-writer.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';
import { RawWebSocket } from '../harness/web-socket.ts';

let house: House;
let pump: DeviceIdentity;
/** Listed at both doors. */
const proxy = '127.0.0.1';
/** On nobody's list. */
const elsewhere = '127.0.0.3';

beforeAll(async () => {
  house = await House.start({
    config: `
mqtt: { proxy: { from: ["127.0.0.1"] } }
https: { proxy: { from: ["127.0.0.0/31", "10.0.0.0/8"], required: false } }
limits: { proxyTimeout: 1s, connectionsPerAddress: 5, enrollRatePerAddress: 1 }
`,
  });
  pump = await house.api.enroll('plant', 'pump');
});
afterAll(() => house[Symbol.asyncDispose]());

/** A connection that has said something before TLS. */
async function saying(
  door: 'mqtts' | 'https',
  header: Uint8Array,
  localAddress = proxy,
): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port: house.port(door), localAddress });
  socket.on('error', () => {});
  await once(socket, 'connect');
  if (header.length > 0) socket.write(header);
  return socket;
}

const newest = async (
  reason?: string,
): Promise<{ address: string; reason: string | null; protocol: string }> => {
  const query = reason ? `reason=${reason}&` : `fingerprint=${pump.fingerprint}&`;
  const { body } = await house.api.call('GET', `/v1/decisions?${query}limit=1`);
  return body.items[0];
};
const misled = async (): Promise<number> => {
  const metrics = await (await fetch(`${house.doors.ops}/metrics`)).text();
  return [...metrics.matchAll(/fleetgate_connects_total\{[^}]*reason="proxy-header"\} (\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
};
/** Whether the gateway closes it without a byte. */
const closes = async (socket: net.Socket): Promise<boolean> => {
  let heard = 0;
  socket.on('data', (chunk) => (heard += chunk.length));
  await once(socket, 'close');
  return heard === 0;
};
const from4 = { source: '198.51.100.7', destination: '127.0.0.1', sourcePort: 4711, destinationPort: 8883 };
const from6 = { ...from4, source: '2001:db8::7', destination: '::1' };

describe('whom the proxy names', () => {
  test.each<[string, Buffer, string]>([
    ['version 1, IPv4', version1('198.51.100.7', 4711), '198.51.100.7:4711'],
    ['version 1, IPv6', version1('2001:db8::7', 4711, '::1'), '[2001:db8::7]:4711'],
    ['version 2, IPv4', version2(from4), '198.51.100.7:4711'],
    [
      'version 2, IPv6, with extras and a checksum',
      version2({ ...from6, extras: [[0x20, Buffer.alloc(90)]], checksum: true }),
      '[2001:db8::7]:4711',
    ],
  ])('%s: sessions, decisions and receipts show its address', async (_what, header, address) => {
    for (const door of ['mqtts', 'https'] as const) {
      const id = `seen-${door}-${address.replaceAll(/[^0-9a-f]/g, '')}-${header[0]}`;
      const device = await house.api.enroll('plant', id);
      const socket = await saying(door, header);
      using raw = await RawMqtt.open(device, 0, 5, { socket, ALPNProtocols: ['mqtt'] });
      raw.send(connectBytes(id, 5));
      expect((await raw.next('connack')).reasonCode).toBe(0);
      const { body } = await house.api.call('GET', `/v1/devices/${id}`);
      expect(body.sessions[0].address).toBe(address);
      const decisions = await house.api.call('GET', `/v1/devices/${id}/decisions`);
      expect(decisions.body.items[0]).toMatchObject({ admitted: true, address });
      const receipt = await house.api.call('POST', `/v1/devices/${id}/revoke`);
      expect(receipt.body.sessions[0]).toMatchObject({ protocol: 'mqtt5', address });
      expect(await raw.ended()).toBe(0x98);
    }
  });

  test('WebSocket and requests too', async () => {
    const socket = await saying('https', version2(from4));
    using raw = await RawWebSocket.open(pump, 0, { options: { socket } });
    expect(raw.status).toBe(101);
    expect(await newest()).toMatchObject({ address: '198.51.100.7:4711', protocol: 'https' });
  });

  test('a header that comes byte by byte, and TLS in the same breath as its last one', async () => {
    const header = version2(from4);
    const socket = await saying('mqtts', new Uint8Array());
    socket.setNoDelay(true);
    for (const byte of header.subarray(0, -1)) socket.write(Buffer.from([byte]));
    socket.cork();
    socket.write(header.subarray(-1));
    const opening = RawMqtt.open(pump, 0, 5, { socket });
    socket.uncork();
    using raw = await opening;
    raw.send(connectBytes('pump', 5));
    expect((await raw.next('connack')).reasonCode).toBe(0);
  });

  test('limits are those of the address that is named, not of the proxy', async () => {
    const open: net.Socket[] = [];
    const one = async () => {
      const socket = await saying('mqtts', version1('203.0.113.9', 1));
      open.push(socket);
      return socket;
    };
    for (let count = 0; count < 5; count++) await one();
    // The sixth of that address; of another there is room, though all came from one proxy.
    expect(await closes(await one())).toBe(true);
    for (let count = 0; count < 8; count++) {
      const socket = await saying('mqtts', version1(`203.0.113.${20 + count}`, 1));
      using raw = await RawMqtt.open(pump, 0, 5, { socket });
      expect(raw.socket.encrypted).toBe(true);
    }
    for (const socket of open) socket.destroy();
  });

  test('an EST request counts for the address that is named', async () => {
    const ask = async (address: string): Promise<number> => {
      const socket = await saying('https', version1(address, 1));
      using raw = await RawWebSocket.shaken({ ca: pump.ca }, 0, { socket });
      raw.socket.write('GET /.well-known/est/cacerts HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await eventually(() => expect(raw.status).toBeGreaterThan(0));
      return raw.status;
    };
    const answers = [];
    for (let count = 0; count < 4; count++) answers.push(await ask('203.0.113.77'));
    expect(answers).toContain(429);
    expect(await ask('203.0.113.78')).toBe(200);
  });

  test.each<[string, Buffer]>([
    ['LOCAL', bare2(0, 0)],
    ['of no family', bare2(1, 0)],
    ['UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ])('a header %s: the proxy comes for itself', async (_what, header) => {
    const socket = await saying('mqtts', header);
    using raw = await RawMqtt.open(pump, 0, 5, { socket });
    raw.send(connectBytes('pump', 5));
    await raw.next('connack');
    expect((await newest()).address).toMatch(/^127\.0\.0\.1:\d+$/);
  });
});

describe('who may not', () => {
  test.each<[string, 'mqtts' | 'https', () => Uint8Array, string]>([
    ['from an address that is not listed', 'mqtts', () => version1('198.51.100.7', 1), elsewhere],
    [
      'from an address that is not listed, where a header is not required',
      'https',
      () => version2(from4),
      elsewhere,
    ],
    ['that is forged: TLS without a header', 'mqtts', () => Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3]), proxy],
    ['that is broken', 'mqtts', () => Buffer.from('PROXY TCP4 a b 1 2\r\n'), proxy],
    ['that is broken, where it is not required', 'https', () => version2({ ...from4, family: 0x31 }), proxy],
    ['that never ends', 'mqtts', () => Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}`), proxy],
    ['that announces too much', 'mqtts', () => bare2(1, 0x11).fill(0xff, 14, 16), proxy],
    ['that does not come', 'mqtts', () => Buffer.alloc(0), proxy],
    ['that comes in part', 'mqtts', () => version2(from4).subarray(0, 20), proxy],
  ])('a header %s: closed, counted, in the journal', async (_what, door, header, source) => {
    const before = await misled();
    const socket = await saying(door, header(), source);
    expect(await closes(socket)).toBe(true);
    expect(await misled()).toBe(before + 1);
    const decision = await newest('proxy-header');
    expect(decision).toMatchObject({ protocol: door === 'mqtts' ? 'mqtt' : 'https', reason: 'proxy-header' });
    expect(decision.address).toContain(`${source}:`);
  });

  test('a header that breaks off is counted; a proxy that only looks whether we are there is not', async () => {
    const before = await misled();
    (await saying('mqtts', new Uint8Array())).destroy();
    const socket = await saying('mqtts', Buffer.from('PROXY TC'));
    socket.end();
    await once(socket, 'close');
    await eventually(async () => expect(await misled()).toBe(before + 1));
  });

  test('where it is not required, everybody connects without one', async () => {
    for (const source of [proxy, elsewhere]) {
      const socket = await saying('https', new Uint8Array(), source);
      using raw = await RawMqtt.open(pump, 0, 5, { socket, ALPNProtocols: ['mqtt'] });
      raw.send(connectBytes('pump', 5));
      expect((await raw.next('connack')).reasonCode).toBe(0);
      expect((await newest()).address).toContain(`${source}:`);
    }
  });

  test('a second header, behind the first, is no TLS: a device cannot send one of its own through the proxy', async () => {
    const socket = await saying(
      'mqtts',
      Buffer.concat([version1('198.51.100.7', 1), version1('10.0.0.1', 2)]),
    );
    // TLS answers with an alert, if with anything.
    await once(socket.resume(), 'close');
    expect((await newest()).address).not.toContain('10.0.0.1');
  });

  test('a door without proxies takes no header from anybody', async () => {
    await using other = await House.start();
    const socket = net.connect({ host: '127.0.0.1', port: other.port('mqtts') });
    socket.on('error', () => {});
    socket.write(version1('198.51.100.7', 1));
    await once(socket.resume(), 'close');
    const device = await other.api.enroll('plant', 'plain');
    using raw = await RawMqtt.connected(device, other.port('mqtts'));
    expect(raw.closed).toBe(false);
  });
});

test('a range that is none is said before any port opens', async () => {
  await expect(
    startCommand(['check'], { FLEETGATE_MQTT__PROXY__FROM: '["10.0.0.0/8", "proxy.example"]' }),
  ).rejects.toThrow(/mqtt\.proxy\.from\.1.*"proxy\.example" is no address/s);
});
