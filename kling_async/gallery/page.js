"use strict";
{
  const at = (id) => document.getElementById(id);

  // What there is, and what of it is shown

  const fold = (text) => text.toLocaleLowerCase();
  const all = Array.from(at("grid").children, (item) => {
    const of = JSON.parse(item.dataset.of);
    const words = [of.name, of.negative, of.trouble, ...of.facts.map(([, text]) => text)];
    const thumbnail = item.querySelector("img");
    return { item, of, thumbnail, tile: item.querySelector(".tile"), words: fold(words.join("\n")) };
  });
  const kinds = new Set(all.map(({ of }) => of.kind));
  const nouns = { image: ["picture", "pictures"], video: ["video", "videos"], audio: ["sound", "sounds"] };
  const [one, many] = (kinds.size === 1 && nouns[[...kinds][0]]) || ["entry", "entries"];
  let shown = all;

  function offer(select, field) {
    const values = new Set(all.map(({ of }) => of[field]).filter(Boolean));
    select.hidden = values.size < 2; // one would choose nothing
    for (const value of [...values].sort()) select.add(new Option(value));
  }

  function filter() {
    const words = fold(at("text").value).split(/\s+/);
    const model = at("model").value;
    const state = at("state").value;
    shown = all.filter(
      (entry) =>
        (!model || entry.of.model === model) &&
        (!state || entry.of.state === state) &&
        words.every((word) => entry.words.includes(word)),
    );
    const fitting = new Set(shown);
    for (const entry of all) entry.item.hidden = !fitting.has(entry);
    const total = all.length.toLocaleString();
    const whole = `${total} ${all.length === 1 ? one : many}`;
    at("count").textContent = shown.length < all.length ? `${shown.length.toLocaleString()} of ${total}` : whole;
    at("nothing").hidden = shown.length > 0;
  }

  function clear() {
    for (const id of ["text", "model", "state"]) at(id).value = "";
    filter();
    at("text").focus();
  }

  // One of them, large

  const viewer = at("viewer");
  const stage = at("stage");
  const players = { image: at("picture"), video: at("video"), audio: at("audio") };
  const picture = players.image;
  let here = 0;
  let opened = null;

  function open(position) {
    show(position);
    viewer.showModal();
    at("next").focus(); // where keys and fingers go on from
  }

  function show(position) {
    if (!(position in shown)) return;
    here = position;
    opened = shown[here];
    const { of, tile } = opened;
    showFile(opened);
    at("position").textContent = `${(here + 1).toLocaleString()} of ${shown.length.toLocaleString()}`;
    say("name", of.name);
    say("trouble", of.trouble);
    say("negative", of.negative && `Without: ${of.negative}`);
    at("facts").replaceChildren(...of.facts.flatMap(([label, text]) => [element("dt", label), element("dd", text)]));
    at("file").hidden = !tile.href;
    at("file").href = tile.href ?? "";
    at("copy").hidden = !of.is_prompt || !navigator.clipboard;
    offerSteps();
    for (const near of [shown[here + 1], shown[here - 1]]) {
      if (near?.of.kind === "image" && near.tile.href) new Image().src = near.tile.href;
    }
  }

  function offerSteps() {
    const [previous, next] = [at("previous"), at("next")];
    const focused = document.activeElement;
    previous.disabled = here === 0;
    next.disabled = here === shown.length - 1;
    if (focused === previous && previous.disabled) next.focus(); // a disabled button would lose it
    if (focused === next && next.disabled) previous.focus();
  }

  function showFile({ tile, thumbnail, of }) {
    stop();
    for (const [kind, player] of Object.entries(players)) {
      player.hidden = of.kind !== kind;
      player.removeAttribute("src"); // some browsers would show the last one, in the shape of this one
    }
    stage.classList.toggle("empty", !of.kind);
    say("note", of.kind ? "" : "There is no file.");
    const [width, height] = of.size ?? [16, 9];
    stage.style.setProperty("--ratio", width / height);
    stage.style.setProperty("--width", `${of.size ? width : 960}px`);
    if (!of.kind) return;
    const player = players[of.kind];
    if (of.kind === "image") {
      picture.style.backgroundImage = `url("${thumbnail.src}")`; // until the large one is there
      picture.alt = of.name;
    } else {
      player.setAttribute("aria-label", of.name);
    }
    player.src = tile.href ?? thumbnail?.src ?? "";
  }

  function stop() {
    for (const player of [players.video, players.audio]) player.pause();
  }

  function say(id, text) {
    at(id).textContent = text ?? "";
    at(id).hidden = !text;
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  picture.addEventListener("load", () => picture.style.removeProperty("background-image"));
  picture.addEventListener("error", () => {
    const { thumbnail } = opened;
    if (!thumbnail || picture.src === thumbnail.src) return;
    picture.src = thumbnail.src;
    say("note", "The file is not where it was; this is its thumbnail.");
  });
  for (const player of [players.video, players.audio]) {
    player.addEventListener("error", () => {
      if (player.getAttribute("src")) say("note", "The file is not where it was, or this browser cannot play it.");
    });
  }
  viewer.addEventListener("close", () => {
    stop();
    opened.tile.focus();
    opened.item.scrollIntoView({ block: "nearest" });
  });

  // Hands: pointer, keys, touch

  at("grid").addEventListener("click", (event) => {
    const item = event.target.closest(".tile, .caption")?.parentElement;
    if (!item || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as with any link
    event.preventDefault();
    open(shown.findIndex((entry) => entry.item === item));
  });
  at("previous").addEventListener("click", () => show(here - 1));
  at("next").addEventListener("click", () => show(here + 1));
  at("close").addEventListener("click", () => viewer.close());
  stage.addEventListener("click", (event) => event.target === stage && viewer.close());
  at("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(opened.of.name);
      at("copy").textContent = "Copied";
      setTimeout(() => (at("copy").textContent = "Copy prompt"), 1500);
    } catch {
      getSelection().selectAllChildren(at("name")); // what the browser forbids to us, the reader may do
    }
  });

  const steps = { ArrowLeft: () => here - 1, ArrowRight: () => here + 1, Home: () => 0, End: () => shown.length - 1 };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target instanceof HTMLMediaElement) return; // its own keys
    if (viewer.open && event.key in steps) {
      event.preventDefault();
      show(steps[event.key]());
    } else if (!viewer.open && event.key === "/" && event.target !== at("text")) {
      event.preventDefault();
      at("text").focus();
    }
  });

  let touch = null;
  stage.addEventListener("touchstart", ({ touches }) => (touch = touches.length === 1 ? touches[0] : null), {
    passive: true,
  });
  stage.addEventListener("touchend", ({ changedTouches: [end] }) => {
    if (!touch || visualViewport.scale > 1) return; // two fingers, or looking closely
    const [across, down] = [end.clientX - touch.clientX, end.clientY - touch.clientY];
    if (Math.abs(across) > 40 && Math.abs(across) > 2 * Math.abs(down)) show(here - Math.sign(across));
  });

  // The first frame of a video is its still, loaded as it comes into view

  const seen = new IntersectionObserver((changes) => {
    for (const { isIntersecting, target } of changes) if (isIntersecting) target.preload = "metadata";
  });
  for (const { item } of all) for (const still of item.querySelectorAll("video")) seen.observe(still);

  // Light and dark

  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const remembered = "kling-async-theme";

  function paint(theme) {
    if (theme) root.dataset.theme = theme;
    at("theme").setAttribute("aria-pressed", String(isDark()));
  }

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  at("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    paint(theme);
    try {
      localStorage.setItem(remembered, theme);
    } catch {
      // a browser that keeps nothing for files
    }
  });
  system.addEventListener("change", () => paint());
  try {
    paint(localStorage.getItem(remembered));
  } catch {
    paint();
  }

  offer(at("model"), "model");
  offer(at("state"), "state");
  for (const id of ["text", "model", "state"]) at(id).addEventListener("input", filter);
  at("clear").addEventListener("click", clear);
  at("filters").hidden = false;
  filter();
}
