/** Prometheus' own tool reads what we give it: scrape configuration, alerts, dashboard, metrics. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { House } from '../harness/house.ts';
import { shell, withPrograms } from '../harness/peer-program.ts';

withPrograms(['promtool'], 'what promtool says', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'promtool-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test('of the scrape configuration and the alerts', () => {
    const said = shell(`promtool check config ${resolve('deploy/prometheus/prometheus.yml')}`, dir);
    expect(said).toMatchObject({ code: 0, stdout: expect.stringMatching(/SUCCESS: \d+ rules found/) });
  });

  test('of every expression on the dashboard', () => {
    const { panels } = JSON.parse(readFileSync('deploy/grafana/dashboards/fleetgate.json', 'utf8')) as {
      panels: { targets: { expr: string }[] }[];
    };
    const rules = panels
      .flatMap(({ targets }) => targets)
      .map(({ expr }, index) => ({ record: `panel:${index}`, expr }));
    expect(rules.length).toBeGreaterThan(15);
    writeFileSync(join(dir, 'panels.yml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
    const said = shell('promtool check rules panels.yml', dir);
    expect(said).toMatchObject({ code: 0 });
  });

  test('of the metrics of a running house', async () => {
    await using house = await House.start();
    const said = shell(`curl -sf ${house.doors.ops}/metrics | promtool check metrics`, dir);
    expect(said).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});
