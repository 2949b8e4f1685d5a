/** Clients that devices really use, over mutual TLS: Paho for Python and for C, MQTT.js, mosquitto_pub and mosquitto_sub. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { startFleetgate } from '../conformance/peers.ts';
import { type ClientOptions, ClientProgram } from '../harness/client-program.ts';
import { run, withPrograms } from '../harness/peer-program.ts';

const dir = mkdtempSync(join(tmpdir(), 'clients-'));
const at = (name: string) => join(dir, name);
const source = (name: string) => fileURLToPath(new URL(`clients/${name}`, import.meta.url));

let peer: Awaited<ReturnType<typeof startFleetgate>>;
beforeAll(async () => {
  peer = await startFleetgate();
  for (const who of ['a', 'b'] as const) {
    const { key, certificate, ca } = peer.devices[who] as { key: string; certificate: string; ca: string };
    writeFileSync(at(`${who}.key`), key);
    writeFileSync(at(`${who}.crt`), certificate);
    writeFileSync(at('ca.crt'), ca);
  }
});
afterAll(async () => {
  await peer[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Starts a client program as a device. */
function start(
  command: readonly string[],
  who: 'a' | 'b',
  { suffix, version, clean = true, keepAliveSeconds = 60, willTopic }: ClientOptions,
) {
  const id = `${peer.devices[who].id}:${suffix}`;
  const files = ['ca.crt', `${who}.crt`, `${who}.key`].map(at);
  const settings = [id, version, clean ? 1 : 0, keepAliveSeconds, willTopic].map(String);
  return new ClientProgram([...command, '127.0.0.1', `${peer.port}`, ...files, ...settings]);
}

/** What every client must be able to do, in either version. */
function clientStory(name: string, command: readonly string[]): void {
  describe.each([4, 5] as const)(`${name}, MQTT %i`, (version) => {
    const topic = (rest: string) => `t/${name.replaceAll(' ', '-')}/${version}/${rest}`;
    const as = (story: string) => ({
      version,
      willTopic: topic(`will-${story}`),
      suffix: `${name.at(-1)}${version}${story}`,
    });

    test.concurrent('QoS 0, 1 and 2 both ways, retained and large messages', async () => {
      const here = as('qos');
      await using speaker = start(command, 'a', here);
      await using listener = start(command, 'b', here);
      expect(['0', 'unknown']).toContain(await listener.hears('connected'));
      await speaker.hears('connected');
      await listener.subscribes(topic('x'), 2);
      for (const qos of [0, 1, 2] as const) {
        await speaker.publishes(topic('x'), qos, `qos-${qos}`);
        expect(await listener.message()).toMatchObject({
          topic: topic('x'),
          qos,
          retain: false,
          start: `qos-${qos}`,
        });
      }
      await speaker.publishes(topic('x'), 1, '#200000');
      expect(await listener.message()).toMatchObject({ qos: 1, length: 200_000 });
      await speaker.publishes(topic('kept'), 1, 'kept', true);
      await listener.subscribes(topic('kept'), 1);
      expect(await listener.message()).toMatchObject({ retain: true, start: 'kept' });
      expect(await listener.leaves()).toBe(0);
    });

    test.concurrent('a session that is resumed, with what came meanwhile', async () => {
      const here = as('session');
      await using speaker = start(command, 'a', here);
      const kept = { ...here, clean: false };
      const first = start(command, 'b', kept);
      expect(['0', 'unknown']).toContain(await first.hears('connected'));
      await first.subscribes(topic('away'), 1);
      await first.drops();
      await speaker.hears('connected');
      await speaker.publishes(topic('away'), 1, 'meanwhile');
      await using again = start(command, 'b', kept);
      expect(['1', 'unknown']).toContain(await again.hears('connected'));
      expect(await again.message()).toMatchObject({ qos: 1, start: 'meanwhile' });
    });

    test.concurrent('a keep-alive that is kept, and a Will when the network fails', async () => {
      const here = as('will');
      await using speaker = start(command, 'a', { ...here, keepAliveSeconds: 3 });
      await using listener = start(command, 'b', here);
      await listener.hears('connected');
      await listener.subscribes(topic('still'), 1);
      await listener.subscribes(topic('will-will'), 1);
      await speaker.hears('connected');
      // Two keep-alives and a half without a word of ours: the client pings.
      await systemClock.sleep(6_000);
      await speaker.publishes(topic('still'), 0, 'here');
      expect(await listener.message()).toMatchObject({ start: 'here' });
      await speaker.drops();
      expect(await listener.message()).toMatchObject({ topic: topic('will-will'), qos: 1, start: 'gone' });
    });
  });
}

clientStory('MQTT.js', [process.execPath, source('mqtt-js.ts')]);

withPrograms(['/usr/bin/python3'], 'Paho for Python', () => {
  clientStory('Paho for Python', ['/usr/bin/python3', source('paho-client.py')]);
});

withPrograms(['gcc'], 'Paho for C', () => {
  beforeAll(() => {
    execFileSync('gcc', [
      '-O1',
      '-Wall',
      '-Wextra',
      source('paho-client.c'),
      '-o',
      at('paho'),
      '-lpaho-mqtt3cs',
    ]);
  });
  clientStory('Paho for C', [at('paho')]);
});

withPrograms(['mosquitto_pub', 'mosquitto_sub'], 'mosquitto_pub and mosquitto_sub', () => {
  const as = (who: 'a' | 'b', version: 4 | 5, suffix = 'm') =>
    `-h 127.0.0.1 -p ${peer.port} -V ${version === 5 ? 'mqttv5' : 'mqttv311'} --cafile ca.crt --cert ${who}.crt --key ${who}.key -i ${peer.devices[who].id}:${suffix}${version}`;

  describe.each([4, 5] as const)('MQTT %i', (version) => {
    const topic = (rest: string) => `t/mosquitto/${version}/${rest}`;

    test.concurrent('QoS 0, 1 and 2, retained and large messages, a session that is resumed', async () => {
      writeFileSync(at('large'), 'x'.repeat(200_000));
      const session = `-c ${version === 5 ? '-x 300' : ''}`;
      const listen = `mosquitto_sub ${as('b', version)} ${session} -q 2 -t ${topic('x')}`;
      const script = `
        ${listen} -E
        for qos in 0 1 2; do mosquitto_pub ${as('a', version)} -q $qos -t ${topic('x')} -m qos-$qos; done
        mosquitto_pub ${as('a', version)} -q 1 -t ${topic('x')} -f large
        mosquitto_pub ${as('a', version)} -q 1 -r -t ${topic('kept')} -m kept
        ${listen} -C 3 -W 10 -F '%q %r %l %t'
        mosquitto_sub ${as('b', version, 'n')} -q 1 -t ${topic('kept')} -C 1 -W 10 -F 'retained %r %p'`;
      const { code, stdout, stderr } = await run(script, dir);
      expect([code, stderr]).toEqual([0, '']);
      // mosquitto_sub shows a QoS 2 message when it is released.
      expect(stdout.trim().split('\n').sort()).toEqual([
        `1 0 200000 ${topic('x')}`,
        `1 0 5 ${topic('x')}`,
        `2 0 5 ${topic('x')}`,
        'retained 1 kept',
      ]);
    });

    test.concurrent('a keep-alive that is kept, and a Will when the network fails', async () => {
      const script = `
        mosquitto_sub ${as('b', version, 'w')} -q 1 -t ${topic('will')} -C 1 -W 15 -F '%q %p' & listener=$!
        mosquitto_sub ${as('a', version, 'w')} -k 5 -t ${topic('nothing')} --will-topic ${topic('will')} --will-payload gone --will-qos 1 & dying=$!
        sleep 8
        kill -0 $dying
        kill -9 $dying
        wait $listener`;
      const { code, stdout } = await run(script, dir);
      expect([code, stdout.trim()]).toEqual([0, '1 gone']);
    });
  });
});
