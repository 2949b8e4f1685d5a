/** Real proxies before the gateway: HAProxy and nginx pass TLS through and say for whom; curl says it by itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { run, sh, withPrograms } from '../harness/peer-program.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';
import { RawWebSocket } from '../harness/web-socket.ts';

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'proxies-'));
let house: House;
let device: DeviceIdentity;

beforeAll(async () => {
  house = await House.start({
    config: `
mqtt: { proxy: { from: ["127.0.0.1"] } }
https: { proxy: { from: ["127.0.0.1"] } }
`,
  });
  device = await house.api.enroll('plant', 'pump');
  for (const [name, pem] of [
    ['crt', device.certificate],
    ['key', device.key],
    ['ca', device.ca],
  ] as const)
    writeFileSync(join(dir, name), pem);
});
afterAll(async () => {
  await house[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Ports that nobody has at the moment. */
async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(probes.map((probe) => once(probe, 'listening')));
  const ports = probes.map((probe) => (probe.address() as net.AddressInfo).port);
  await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  return ports;
}

async function running(program: string, args: string[], port: number): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await eventually(async () => {
    const socket = net.connect({ host: '127.0.0.1', port });
    await once(socket, 'connect');
    socket.destroy();
  });
  return child;
}

/** Through a proxy, from an address that only the proxy sees. */
async function seenThrough(port: number): Promise<void> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress: '127.0.0.9' });
  await once(socket, 'connect');
  const { localPort } = socket;
  using raw = await RawMqtt.open(device, 0, 5, { socket, ALPNProtocols: ['mqtt'] });
  raw.send(connectBytes('pump', 5));
  expect((await raw.next('connack')).reasonCode).toBe(0);
  const { body } = await house.api.call('GET', '/v1/devices/pump');
  expect(body.sessions.map(({ address }: { address: string }) => address)).toContain(
    `127.0.0.9:${localPort}`,
  );
}

withPrograms(['haproxy'], 'HAProxy', () => {
  let proxy: ChildProcess;
  let ports: number[];
  beforeAll(async () => {
    ports = await freePorts(3);
    const file = join(dir, 'haproxy.cfg');
    writeFileSync(
      file,
      `
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen one
    bind 127.0.0.1:${ports[0]}
    server house 127.0.0.1:${house.port('mqtts')} send-proxy
listen two
    bind 127.0.0.1:${ports[1]}
    server house 127.0.0.1:${house.port('mqtts')} send-proxy-v2 proxy-v2-options crc32c check check-send-proxy inter 200ms
listen https
    bind 127.0.0.1:${ports[2]}
    server house 127.0.0.1:${house.port('https')} send-proxy-v2
`,
    );
    proxy = await running('haproxy', ['-db', '-q', '-f', file], ports[0]!);
  });
  afterAll(() => proxy.kill('SIGKILL'));

  test('version 1', () => seenThrough(ports[0]!));

  test('version 2, with a checksum, while its health checks go on', async () => {
    await seenThrough(ports[1]!);
    const { body } = await house.api.call('GET', '/v1/decisions?reason=proxy-header&limit=1');
    expect(body.items).toEqual([]);
  });

  test('MQTT by ALPN and WebSocket through one port', async () => {
    await seenThrough(ports[2]!);
    using raw = await RawWebSocket.open(device, ports[2]!);
    raw.send(connectBytes('pump', 5));
    expect((await raw.next('connack')).reasonCode).toBe(0);
  });

  test('the configuration that we deliver is sound', () => {
    expect(sh(`haproxy -c -f ${join(deploy, 'proxies/haproxy.cfg')}`, dir)).toMatch(/valid/);
  });
});

withPrograms(['nginx'], 'nginx with its stream module', () => {
  const main = (include: string) =>
    `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
pid ${dir}/nginx.pid;
error_log stderr crit;
events {}
${include}
`;

  test('version 1', async () => {
    const [port] = await freePorts(1);
    const file = join(dir, 'nginx.conf');
    writeFileSync(
      file,
      main(
        `stream { server { listen 127.0.0.1:${port}; proxy_pass 127.0.0.1:${house.port('mqtts')}; proxy_protocol on; } }`,
      ),
    );
    const proxy = await running('nginx', ['-e', 'stderr', '-c', file], port!);
    try {
      await seenThrough(port!);
    } finally {
      proxy.kill('SIGQUIT');
      await once(proxy, 'exit');
    }
  });

  test('the configuration that we deliver is sound', async () => {
    const file = join(dir, 'delivered.conf');
    writeFileSync(file, main(`include ${join(deploy, 'proxies/nginx-stream.conf')};`));
    const { code, stderr } = await run(`nginx -e stderr -t -c ${file}`, dir);
    expect([code, stderr]).toEqual([0, expect.stringContaining('test is successful')]);
  });
});

withPrograms(['curl'], 'curl', () => {
  const curl = (options: string) =>
    run(`curl -sS ${options} --cacert ca --cert crt --key key ${house.doors.https}/v1/me`, dir);

  test('says by version 1 for whom it asks, and is refused without', async () => {
    const { stdout } = await curl('--haproxy-protocol');
    expect(JSON.parse(stdout)).toMatchObject({ device: 'pump' });
    expect((await curl('')).code).not.toBe(0);
  });
});

withPrograms(['systemd-analyze'], 'systemd', () => {
  test('the units that we deliver are sound, and hardened', async () => {
    // As they are, but for the runtime, which is not installed where they say.
    sh(
      `cp ${deploy}/systemd/fleetgate.socket . && sed 's#^ExecStart=[^ ]*#ExecStart=${process.execPath}#' ${deploy}/systemd/fleetgate.service >fleetgate.service`,
      dir,
    );
    const { code, stdout, stderr } = await run(
      'systemd-analyze verify ./fleetgate.service ./fleetgate.socket && systemd-analyze security --offline=true --threshold=20 --no-pager ./fleetgate.service',
      dir,
    );
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/exposure level .*: 1\.\d/);
  });
});
