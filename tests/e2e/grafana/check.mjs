// Dashboards against Grafana's own schema (@grafana/schema), by TypeScript: unknown fields, values that
// are none of an enumeration, wrong types.
//
//   NODE_PATH=.../node_modules node check.mjs DASHBOARD.json...
import { createRequire } from 'node:module';
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const ts = require('typescript');
const schema = dirname(require.resolve('@grafana/schema/package.json'));

// Panels by type: the module of the schema that has their options, and what it calls their field options.
const PANELS = {
  stat: ['stat', 'Stat', 'unknown'],
  timeseries: ['timeseries', 'TimeSeries', 'P.FieldConfig'],
  bargauge: ['bargauge', 'BarGauge', 'unknown'],
  gauge: ['gauge', 'Gauge', 'unknown'],
  table: ['table', 'Table', 'P.FieldConfig'],
  heatmap: ['heatmap', 'Heatmap', 'P.FieldConfig'],
  piechart: ['piechart', 'PieChart', 'P.FieldConfig'],
  text: ['text', 'Text', 'unknown'],
  'state-timeline': ['statetimeline', 'StateTimeline', 'P.FieldConfig'],
};

// JSON has the values of enumerations, and leaves out what has a default.
const LOOSE = `
type Loose<T> = T extends string ? \`\${T}\` : T extends number ? number
  : T extends boolean | null | undefined ? T : T extends (infer U)[] ? Loose<U>[]
  : T extends object ? { [K in keyof T]?: Loose<T[K]> } : T;
type Query = { refId: string; datasource?: Loose<S.DataSourceRef>; expr: string; legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap'; instant?: boolean; range?: boolean; exemplar?: boolean;
  interval?: string; intervalFactor?: number; hide?: boolean };
type Base = Omit<Loose<S.Panel>, 'options' | 'fieldConfig' | 'targets' | 'type' | 'datasource'>
  & { datasource: Loose<S.DataSourceRef>; title: string; gridPos: Loose<S.GridPos>; targets: Query[] };
// Grafana's own editor keeps a variable's query under \`definition\` too, which the schema leaves out.
type Whole = Omit<Loose<S.Dashboard>, 'panels' | 'templating'>
  & { uid: string; title: string; templating: { list: (Loose<S.VariableModel> & { definition?: string })[] } };
type Field<C> = { defaults: Omit<Loose<S.FieldConfig>, 'custom'> & { custom?: Loose<C> };
  overrides: Loose<S.FieldConfigSource>['overrides'] };
`;

const moduleOf = (name) => {
  const [folder, prefix] = PANELS[name];
  return join(schema, 'dist/esm/raw/composable', folder, 'panelcfg/x', `${prefix}PanelCfg_types.gen`);
};

const dir = mkdtempSync(join(schema, '.check-'));
let failed = false;
try {
  const files = process.argv.slice(2).map((path) => {
    const { panels, ...rest } = JSON.parse(readFileSync(path, 'utf8'));
    let text = `import type * as S from '${join(schema, 'dist/esm/raw/dashboard/x/dashboard_types.gen')}';\n`;
    const types = [...new Set(panels.map((panel) => panel.type))].filter((type) => type !== 'row');
    types.forEach((type, i) => {
      if (!PANELS[type]) throw new Error(`${path}: no schema is known for panels of type ${type}`);
      text += `import type * as P${i} from '${moduleOf(type)}';\n`;
    });
    text += LOOSE;
    text += `const dashboard: Whole = ${JSON.stringify(rest, null, 1)};\n`;
    for (const panel of panels) {
      const i = types.indexOf(panel.type);
      const type =
        i < 0
          ? 'Loose<S.RowPanel>'
          : `Base & { type: '${panel.type}'; options?: Loose<P${i}.Options>;
             fieldConfig: Field<${PANELS[panel.type][2].replace('P.', `P${i}.`)}> }`;
      text += `{ const panel: ${type} = ${JSON.stringify(panel, null, 1)}; }\n`;
    }
    const file = join(dir, `${basename(path, '.json')}.ts`);
    writeFileSync(file, text);
    return file;
  });
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    target: ts.ScriptTarget.ES2022,
    types: [],
  });
  for (const found of ts.getPreEmitDiagnostics(program)) {
    failed = true;
    const text = ts.flattenDiagnosticMessageText(found.messageText, '\n');
    const at = found.file && found.file.getLineAndCharacterOfPosition(found.start);
    const near = at ? found.file.text.split('\n')[at.line].trim() : '';
    console.log(`${found.file ? basename(found.file.fileName) : ''}: ${near}: ${text}`);
  }
  console.log(`${files.length} dashboards checked`);
} finally {
  rmSync(dir, { recursive: true });
}
process.exit(failed ? 1 : 0);
