/** The tour of the README, line by line as it is printed there: whoever follows it must arrive. */
import { readFileSync, symlinkSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { House } from '../harness/house.ts';
import { shell, withPrograms } from '../harness/peer-program.ts';

const tour = () => {
  const section = readFileSync('README.md', 'utf8').split(/^## /m)[2]!;
  expect(section).toMatch(/^Ten minutes/);
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map((block) => block[1]!);
};

withPrograms(['curl', 'openssl', 'mosquitto_pub', 'mosquitto_sub'], 'the tour of the README', () => {
  test('arrives where it says', async () => {
    await using house = await House.start();
    // npx finds the command in the folder that the reader is in.
    symlinkSync(resolve('node_modules'), `${house.dir}/node_modules`);
    const script = tour()
      .join('\n')
      .replaceAll('localhost:9443', `localhost:${house.port('registry')}`)
      .replaceAll('-p 8883', `-p ${house.port('mqtts')}`)
      .replaceAll('npx fleetgate', `node ${resolve('bin/fleetgate')}`);
    const path = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    const said = shell(`export PATH='${path}'\n${script}`, house.dir, 60_000);
    const heard = said.stdout + said.stderr;
    expect(said.code, heard).toBe(0);
    expect(heard).toMatch(/subject=CN = pump-1/);
    expect(heard).toMatch(/URI:spiffe:\/\/fleetgate\.local\/fleet\/plant\/device\/pump-1/);
    expect(heard).toMatch(/"subject":"temperature".*"data":\{"celsius":21\.5\}/);
    expect(heard).toMatch(/not authori[sz]ed/i);
    expect(heard).toMatch(/client identifier not valid/i);
    expect(heard).toMatch(/client id bound/);
    expect(heard).toMatch(/"complete":true/);
    expect(heard).toMatch(/received DISCONNECT \(152\)/i);
    expect(heard).toMatch(/banned/i);
    expect(heard).toMatch(/500 acknowledged, 0 lost/);
    expect(heard).toMatch(/The audit is intact/);
  });
});
