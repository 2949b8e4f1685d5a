/** The examples of docs/commands.md, line by line as they are printed there: curl and mosquitto's clients take commands. */
import { readFileSync, symlinkSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { House } from '../harness/house.ts';
import { shell, withPrograms } from '../harness/peer-program.ts';

withPrograms(['curl', 'mosquitto_pub', 'mosquitto_sub'], 'the page about commands', () => {
  test('says what happens', { timeout: 120_000 }, async () => {
    await using house = await House.start();
    symlinkSync(resolve('node_modules'), `${house.dir}/node_modules`);
    const page = readFileSync('docs/commands.md', 'utf8');
    const script = [...page.matchAll(/```sh\n([\s\S]*?)```/g)]
      .map((block) => block[1]!)
      .join('\n')
      .replaceAll('localhost:9443', `localhost:${house.port('registry')}`)
      .replaceAll('localhost:8443', `localhost:${house.port('https')}`)
      .replaceAll('-p 8883', `-p ${house.port('mqtts')}`)
      .replaceAll('npx fleetgate', `node ${resolve('bin/fleetgate')}`);
    const path = [resolve('node_modules/.bin'), process.env.PATH].join(delimiter);
    const said = shell(`export PATH='${path}'\n${script}`, house.dir, 110_000);
    const heard = said.stdout + said.stderr;
    expect(said.code, heard).toBe(0);
    const [, id] = /([0-9a-f]{32})\topen\tqueued/.exec(heard) ?? [];
    expect(id, heard).toBeDefined();
    expect(heard).toContain(
      `devices/valve-7/commands/${id}/open {"percent":40} correlation=${id} answer-to=devices/valve-7/commands/${id}/reply/200`,
    );
    expect(heard).toMatch(/state +replied/);
    expect(heard).toMatch(/reply +200 40 %/);
    expect(heard).toMatch(/"state":"replied"/);
    expect(heard).toMatch(/\tclose\treplied\t/);
    expect(heard).toMatch(/"name":"forget-it","state":"expired"/);
  });
});
