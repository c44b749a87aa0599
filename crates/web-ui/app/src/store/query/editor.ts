// The expression editor: CodeMirror with Prometheus' own PromQL extension. Loaded when first needed.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, startCompletion } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands';
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from '@codemirror/language';
import { lintKeymap } from '@codemirror/lint';
import { Compartment, EditorState, Prec } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { PromQLExtension } from '@prometheus-io/codemirror-promql';

export interface Editor {
  setText(text: string): void;
  setDark(dark: boolean): void;
  focus(): void;
  destroy(): void;
}

const colours = HighlightStyle.define([
  { tag: tags.number, color: 'var(--good)' },
  { tag: tags.string, color: 'var(--bad)' },
  { tag: tags.keyword, color: 'var(--accent)', fontWeight: '600' },
  { tag: tags.modifier, color: 'var(--accent)' },
  { tag: tags.function(tags.variableName), color: 'var(--info)' },
  { tag: tags.labelName, color: 'var(--warn)' },
  { tag: tags.operator, color: 'var(--text)' },
  { tag: tags.comment, color: 'var(--quiet)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--bad)', textDecoration: 'underline' },
]);

const look = (dark: boolean): ReturnType<typeof EditorView.theme> =>
  EditorView.theme(
    {
      '&': { backgroundColor: 'transparent', color: 'var(--text)' },
      '.cm-cursor': { borderLeftColor: 'var(--text)' },
      '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--focus) 30%, transparent)' },
      '.cm-placeholder': { color: 'var(--quiet)' },
      '.cm-tooltip': { backgroundColor: 'var(--panel)', border: '1px solid var(--line)', borderRadius: '6px' },
      '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--accent-soft)', color: 'var(--text)' },
      '.cm-completionDetail': { color: 'var(--quiet)', marginLeft: '12px', fontStyle: 'normal' },
      '.cm-completionInfo': { padding: '8px', maxWidth: '360px' },
      '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft)', outline: '1px solid var(--accent)' },
    },
    { dark },
  );

/** The path of the service, without slash at the end. */
function root(): string {
  return new URL('.', window.location.href).href.replace(/\/$/, '');
}

export function createEditor(options: {
  parent: HTMLElement;
  text: string;
  dark: boolean;
  onChange: (text: string) => void;
  onRun: () => void;
}): Editor {
  const theme = new Compartment();
  const promql = new PromQLExtension().activateLinter(true).setComplete({
    remote: { url: root(), cache: { initialMetricList: [] }, httpMethod: 'GET' },
  });
  const run = (): boolean => {
    options.onRun();
    return true;
  };
  const view = new EditorView({
    parent: options.parent,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        history(),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ icons: false }),
        promql.asExtension(),
        syntaxHighlighting(colours),
        theme.of(look(options.dark)),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': 'Expression', 'aria-multiline': 'true', spellcheck: 'false' }),
        placeholder('Expression (Enter runs it, Shift+Enter makes a new line)'),
        Prec.high(
          keymap.of([
            { key: 'Shift-Enter', run: insertNewlineAndIndent },
            { key: 'Mod-Enter', run },
            { key: 'Ctrl-Space', run: startCompletion },
          ]),
        ),
        keymap.of([...completionKeymap, { key: 'Enter', run }, ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setText: (text) => {
      if (view.state.doc.toString() !== text) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    setDark: (dark) => view.dispatch({ effects: theme.reconfigure(look(dark)) }),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
