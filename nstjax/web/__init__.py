"""The web page of ``nstjax web``, made with Gradio (extra ``web``)."""
