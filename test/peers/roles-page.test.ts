/** The examples of docs/roles.md, line by line as they are printed there. */
import { readFileSync, symlinkSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { House } from '../harness/house.ts';
import { shell, withPrograms } from '../harness/peer-program.ts';

withPrograms(['curl'], 'the page about roles', () => {
  test('says what happens', { timeout: 120_000 }, async () => {
    await using house = await House.start();
    symlinkSync(resolve('node_modules'), `${house.dir}/node_modules`);
    const page = readFileSync('docs/roles.md', 'utf8');
    const script = [...page.matchAll(/```sh\n([\s\S]*?)```/g)]
      .map((block) => block[1]!)
      .join('\n')
      .replaceAll('localhost:9443', `localhost:${house.port('registry')}`)
      .replaceAll('npx fleetgate', `node ${resolve('bin/fleetgate')}`);
    const path = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    const said = shell(`export PATH='${path}'\n${script}`, house.dir, 110_000);
    const heard = said.stdout + said.stderr;
    expect(said.code, heard).toBe(0);
    expect(heard).toMatch(/The role gauge has 4 rules/);
    expect(heard).toMatch(/0 device\(s\) act in the role gauge by it now/);
    expect(heard).toMatch(/kind=gauge\|meter\tgauge/);
    expect(heard).toMatch(
      /allowed\nRule 2 of the role gauge grants it\.\nIt acts in the role gauge of its assignment/,
    );
    expect(heard).toMatch(/refused\n.*rule 1 grants QoS 1 at most/);
    expect(heard).toMatch(/rule 3 has no usable value for device\.attributes\.site/);
    expect(heard).toMatch(/Of 1 device\(s\) in the role gauge something changes for 1/);
    expect(heard).toMatch(/- subscribe sites\/north\/alarms\/\+/);
    expect(heard).toMatch(/\+ publish devices\/gauge-7\/telemetry\/# QoS 2/);
    expect(heard).toMatch(/ada\toperator/);
    expect(heard).toMatch(/The device gauge-7 is disabled/);
    expect(heard).toMatch(/This credential does not grant POST of this path/);
    expect(heard).toMatch(/This certificate is no operator's, or it was revoked/);
  });
});
