// /query: panels, their state in the URL.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { go, search } from '../../core/route';
import { CopyButton } from '../../parts/bits';
import { PanelView } from './PanelView';
import { decodePanels, encodePanels, newPanel, type Panel } from './state';

export function QueryPage(): JSX.Element {
  const [panels, setPanels] = useState<Panel[]>(() => {
    const decoded = decodePanels(search.value);
    return decoded.length > 0 ? decoded : [newPanel()];
  });
  const written = useRef(search.value.toString());

  // A change of the panels goes to the URL, as a step that "back" takes back.
  const change = (next: Panel[]): void => {
    setPanels(next);
    written.current = encodePanels(next).toString();
    go(`query?${written.current}`);
  };
  // A change of the URL from outside (back, a link) goes to the panels.
  const current = search.value.toString();
  useEffect(() => {
    if (current === written.current) return;
    written.current = current;
    const decoded = decodePanels(new URLSearchParams(current));
    setPanels(decoded.length > 0 ? decoded : [newPanel()]);
  }, [current]);

  const replace = (panel: Panel): void => change(panels.map((old) => (old.id === panel.id ? panel : old)));
  return (
    <>
      <h1 class="skip">Query</h1>
      {panels.map((panel) => (
        <PanelView key={panel.id} panel={panel} onChange={replace} onRemove={panels.length > 1 ? () => change(panels.filter((other) => other.id !== panel.id)) : undefined} />
      ))}
      <div class="row">
        <button type="button" class="button" onClick={() => change([...panels, newPanel()])}>
          Add a panel
        </button>
        <CopyButton text={new URL(`query?${encodePanels(panels)}`, window.location.href).href} label="Copy the link" />
      </div>
    </>
  );
}
