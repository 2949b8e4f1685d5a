/** The example of docs/anchors.md, line by line as it is printed there: whoever follows it must arrive. */
import { readFileSync, symlinkSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { House } from '../harness/house.ts';
import { shell, withPrograms } from '../harness/peer-program.ts';

const example = () => {
  const section = readFileSync('docs/anchors.md', 'utf8').split(/^## /m)[1]!;
  expect(section).toMatch(/^An example/);
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map((block) => block[1]!);
};

withPrograms(['openssl', 'mosquitto_pub'], 'the example of docs/anchors.md', () => {
  test('arrives where it says', async () => {
    await using house = await House.start();
    symlinkSync(resolve('node_modules'), `${house.dir}/node_modules`);
    const script = example()
      .join('\n')
      .replaceAll('-p 8883', `-p ${house.port('mqtts')}`)
      .replaceAll('npx fleetgate', `node ${resolve('bin/fleetgate')}`);
    const path = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    const said = shell(`export PATH='${path}'\n${script}`, house.dir, 60_000);
    const heard = said.stdout + said.stderr;
    expect(said.code, heard).toBe(0);
    expect(heard).toMatch(/Devices of CN="maker-root" are trusted in the fleet valves \(jit\)/);
    expect(heard).toMatch(/valve-7/);
    expect(heard).toMatch(/recorded, of maker/);
    expect(heard).toMatch(/Without maker, 1 device\(s\) would lose access:\s+valve-7/);
    expect(heard).toMatch(/The anchor maker is trusted no longer/);
  });

  test('and what to sign is said to people too; the key of the CA does it in one command', async () => {
    await using house = await House.start();
    symlinkSync(resolve('node_modules'), `${house.dir}/node_modules`);
    const [maker = ''] = example();
    const fleetgate = `node ${resolve('bin/fleetgate')}`;
    const add = `${fleetgate} anchors add maker --certificate maker/maker-root.crt --fleet valves --mode registered --map serialNumber --map 'otherName:1.3.6.1.5.5.7.8.4/hex#0'`;
    const script = `${maker}
      ${fleetgate} fleets create valves
      ${add}
      ${add} --ca-key maker/maker-root.key
      ${fleetgate} anchors list
      ${fleetgate} anchors show maker
      ${add} --map 'no such rule' || echo "exit $?"`;
    const path = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    const { code, stdout, stderr } = shell(`export PATH='${path}'\n${script}`, house.dir, 60_000);
    const heard = stdout + stderr;
    expect(code, heard).toBe(0);
    expect(heard).toMatch(/printf %s [0-9a-f]{40} \| openssl dgst -sha256 -sign ca.key/);
    expect(heard).toMatch(/serialNumber, otherName:1\.3\.6\.1\.5\.5\.7\.8\.4\/hex#0/);
    expect(heard).toMatch(/exit 2/);
  });
});
